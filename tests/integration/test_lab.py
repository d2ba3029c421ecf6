"""tome-lab from nothing to a served model: training, interrupted and not."""

import csv
import json
import signal
import subprocess

import numpy as np
import pytest
from PIL import Image
from tome_server import BINARIES

LAB = BINARIES / "tome-lab"
SMALL = ["--width", "32", "--depth", "3", "--heads", "2", "--patch-size", "8", "--image-size", "40", "--seed", "3"]


def run(*arguments, expect=0):
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True, timeout=120)
    assert done.returncode == expect, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Twelve pictures of two kinds, a folder each: shades of red and of blue with a bright square."""
    root = tmp_path_factory.mktemp("pictures")
    for kind, channel in (("blue", 2), ("red", 0)):
        (root / kind).mkdir()
        for number in range(6):
            pixels = np.full((48, 48, 3), 30, np.uint8)
            pixels[:, :, channel] = 120 + 20 * number
            pixels[4 * number : 4 * number + 16, 8:24] = 250
            Image.fromarray(pixels).save(root / kind / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    out = tmp_path_factory.mktemp("lab") / "start"
    run(LAB, "new", out, *SMALL)
    return out


def train_command(start, pictures, out, *more, steps=60, learning_rate=0.001):
    objectives = ["--supervised", "1", "--contrastive", "1", "--distillation", "0.5", "--r", "0,3,6"]
    schedule = ["--steps", steps, "--warm-up", "5", "--learning-rate", learning_rate, "--batch", "6", "--threads", "2"]
    return [str(a) for a in (LAB, "train", "--from", start, "--images", pictures, "--out", out, *objectives, *schedule, "--seed", "5", *more)]


def killed_behind_a_step(command, out):
    """Runs the training until it has left a state, and no further."""
    process = subprocess.Popen([*command, "--save-seconds", "0"], stdout=subprocess.DEVNULL)
    while not (out / "training_state.safetensors").exists():
        assert process.poll() is None
    process.kill()
    process.wait()


@pytest.fixture(scope="module")
def trained(start, pictures, tmp_path_factory):
    out = tmp_path_factory.mktemp("lab") / "model"
    done = run(*train_command(start, pictures, out))
    assert "12 pictures of 2 labels" in done.stdout
    return out


def test_the_loss_falls_and_the_curves_have_a_row_a_step(trained):
    rows = (trained / "curves.csv").read_text().splitlines()
    with Image.open(trained / "curves.png") as plot:
        assert plot.size == (960, 720)

    assert rows[0].split(",") == "step loss supervised contrastive distillation gradient_norm learning_rate r seconds".split()
    losses = [float(row.split(",")[1]) for row in rows[1:]]
    assert len(losses) == 60
    assert np.mean(losses[-10:]) < np.mean(losses[:10])
    assert not (trained / "training_state.safetensors").exists()


def test_a_killed_training_goes_on_to_the_weights_of_one_that_was_not(start, pictures, trained, tmp_path):
    command = train_command(start, pictures, tmp_path)
    killed_behind_a_step(command, tmp_path)

    done = run(*command, "--resume")

    assert "going on behind step" in done.stdout
    assert (tmp_path / "model.safetensors").read_bytes() == (trained / "model.safetensors").read_bytes()


def test_what_is_trained_stays_as_it_is(start, pictures, trained):
    command = train_command(start, pictures, trained)
    files = ("model.safetensors", "curves.csv", "training.json")
    before = [(trained / name).read_bytes() for name in files]

    refused = run(*command, expect=1)
    done = run(*command, "--resume")
    other = run(*train_command(start, pictures, trained, "--resume", learning_rate=0.5), expect=1)

    assert "holds what a training has ended with; name another folder" in refused.stderr
    assert "holds the trained checkpoint already" in done.stdout
    assert "--learning-rate: 0.5, but the training that --resume goes on with" in other.stderr
    assert [(trained / name).read_bytes() for name in files] == before


def test_a_checkpoint_is_not_trained_over(start, pictures):
    before = (start / "model.safetensors").read_bytes()

    refused = run(*train_command(start, pictures, start), expect=1)

    assert "is what --from names, which stays as it is" in refused.stderr
    assert (start / "model.safetensors").read_bytes() == before


def test_an_unfinished_training_goes_on_with_its_own_options_alone(start, pictures, tmp_path):
    command = train_command(start, pictures, tmp_path, steps=100000)
    killed_behind_a_step(command, tmp_path)
    faster = train_command(start, pictures, tmp_path, "--resume", steps=100000, learning_rate=0.5)

    again, other = run(*command, expect=1), run(*faster, expect=1)

    assert "holds an unfinished training; --resume goes on with it" in again.stderr
    assert "--learning-rate: 0.5, but the training that --resume goes on with was started with 0.001" in other.stderr


def test_sigterm_saves_what_was_done(start, pictures, tmp_path):
    command = train_command(start, pictures, tmp_path, "--save-seconds", "0", steps=100000)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    while not (tmp_path / "training_state.safetensors").exists():
        assert process.poll() is None

    process.send_signal(signal.SIGTERM)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 3
    assert "--resume goes on" in said


def test_timm_computes_what_the_server_does(start_server, trained, pictures):
    import timm
    import torch
    from safetensors.torch import load_file
    from tome.v1 import embedding_pb2 as pb

    config = json.loads((trained / "config.json").read_text())
    model = timm.create_model(config["architecture"], num_classes=0, **config["model_args"]).eval()
    model.load_state_dict(load_file(trained / "model.safetensors"))
    pixels = np.asarray(Image.open(pictures / "red/2.png").resize((40, 40)))
    with torch.inference_mode():
        theirs = model((torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float() / 255 - 0.5) / 0.5)[0].numpy()

    server = start_server("--model", trained, "--drain-delay", "0s")
    with server.stub() as stub:
        raw = pb.RawImage(height=40, width=40, data=pixels.tobytes())
        request = pb.EmbedRequest(input=pb.Input(model_pixels=raw), output=pb.OutputSpec(normalization=pb.NORMALIZATION_NONE))
        ours = np.frombuffer(stub.Embed(request, timeout=60).embedding.vector.data, "<f4")

    assert np.abs(ours - theirs).max() <= 1e-4


def test_a_transformers_checkpoint_is_tuned_and_loads_there_again(pictures, tmp_path):
    import torch
    import transformers

    config = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, mlp_ratio=2, image_size=28, patch_size=14
    )
    torch.manual_seed(1)
    transformers.Dinov2Model(config).save_pretrained(tmp_path / "start")
    processor = {"size": {"shortest_edge": 28}, "crop_size": {"height": 28, "width": 28}, "do_center_crop": True}
    transformers.BitImageProcessor(**processor).save_pretrained(tmp_path / "start")

    run(
        LAB, "train", "--from", tmp_path / "start", "--images", pictures, "--out", tmp_path / "tuned",
        "--distillation", "1", "--r", "1", "--steps", "4", "--warm-up", "1", "--batch", "6",
    )  # fmt: skip

    before = transformers.Dinov2Model.from_pretrained(tmp_path / "start").state_dict()
    model, notes = transformers.Dinov2Model.from_pretrained(tmp_path / "tuned", output_loading_info=True)
    assert not notes["missing_keys"] and not notes["unexpected_keys"]
    changed = [name for name, value in model.state_dict().items() if not torch.equal(value, before[name])]
    assert "encoder.layer.0.attention.attention.query.weight" in changed


def test_ablate_compares_every_way_to_merge_with_the_default(trained, pictures, tmp_path):
    def ablate(out):
        done = run(LAB, "ablate", trained, "--images", pictures, "--r", "3,6", "--limit", "10", "--batch", "4", "--threads", "2", "--out", out)
        with open(out) as file:
            return done.stdout, list(csv.DictReader(file))

    printed, rows = ablate(tmp_path / "once.csv")
    _, again = ablate(tmp_path / "again.csv")

    assert "10 pictures" in printed and "r = 3 of 25 tokens" in printed and "r = 6 of 25 tokens" in printed
    exact, default = rows[0], rows[1]
    assert (exact["r"], exact["variant"], float(exact["cosine"])) == ("0", "no merging", pytest.approx(1))
    assert (default["r"], default["variant"]) == ("3", "default")
    assert {row["variant"] for row in rows} >= {"random sets", "keep one", "random dropped", "k-means, 5 iterations", "PiToMe"}
    without_class_token = [row for row in rows if row["not_for_model"]]
    assert {row["variant"] for row in without_class_token} == {"least attended dropped"}
    assert "not for this model: it has no class token" in printed
    for row in rows[1:]:
        if row in without_class_token:
            continue
        assert 0 < float(row["reduction_milliseconds"]) < float(row["milliseconds"])
        assert -1 <= float(row["centred_p5"]) <= float(row["centred"]) < 1
    figures = ("variant", "r", "accuracy", "cosine", "cosine_p5", "centred", "centred_p5", "not_for_model")
    assert [[row[name] for name in figures] for row in again] == [[row[name] for name in figures] for row in rows]

