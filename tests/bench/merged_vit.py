"""Token Merging in PyTorch as a user writes it by the paper, over timm's ViT: what the engines are compared with."""

import torch
import torch.nn.functional as F


def match(metric, r):
    """Bipartite soft matching (ToMe, section 3): which A tokens merge, which stay, and the B that each joins."""
    metric = F.normalize(metric, dim=-1)
    scores = metric[:, ::2] @ metric[:, 1::2].transpose(1, 2)
    scores[:, 0] = -torch.inf  # the class token stays
    best, partner = scores.max(dim=-1)
    order = best.argsort(dim=-1, descending=True)
    merged, kept = order[:, :r], order[:, r:].sort(dim=-1).values
    return merged, kept, partner.gather(1, merged)


def merge(x, merged, kept, destination):
    """Sums along the matching: the tokens of A that stay, then B."""
    width = x.shape[-1]
    a, b = x[:, ::2], x[:, 1::2]

    def rows(index):
        return index.unsqueeze(-1).expand(-1, -1, width)

    b = b.scatter_add(1, rows(destination), a.gather(1, rows(merged)))
    return torch.cat([a.gather(1, rows(kept)), b], dim=1)


def forward_merged(model, pixels, schedule):
    """The class token after the final norm. `schedule`: r of each block."""
    x = model._pos_embed(model.patch_embed(pixels))
    size = torch.ones(x.shape[:2], device=x.device, dtype=torch.float32).unsqueeze(-1)
    for block, r in zip(model.blocks, schedule):
        batch, tokens, width = x.shape
        heads = block.attn.num_heads
        qkv = block.attn.qkv(block.norm1(x)).view(batch, tokens, 3, heads, width // heads).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.unbind(0)
        bias = size.log().to(x.dtype).view(batch, 1, 1, tokens)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=bias.expand(-1, -1, tokens, -1))
        x = x + block.attn.proj(attended.transpose(1, 2).reshape(batch, tokens, width))
        merges = min(r, (tokens - 1) // 2)
        if merges > 0:
            matching = match(k.float().mean(dim=1), merges)
            summed = merge(x.float() * size, *matching)
            size = merge(size, *matching)
            x = (summed / size).to(x.dtype)
        x = x + block.mlp(block.norm2(x))
    return model.norm(x)[:, 0]
