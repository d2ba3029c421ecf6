#ifndef TOME_SERVER_KERNELS_CPU_SIMD_ROWS_H_
#define TOME_SERVER_KERNELS_CPU_SIMD_ROWS_H_

// What treats each row of tokens by itself: merge, norm, activation, position embedding.

#include "server/kernels/cpu/simd/kernels.h"
#include "server/kernels/cpu/simd/vector.h"

namespace tome::kernels::cpu::TOME_SIMD {

struct Norm {
  const float* weight;
  const float* bias;
  float epsilon;
};

// out = LayerNorm(values(column, load)), statistics in two passes. `values` gives the row's vector
// at a column; `out` may be what it reads.
template <typename Out, typename Values>
inline void NormRow(int width, const Norm& norm, Out* out, const Values& values) {
  Floats sum = {};
  ForEachVector(width, [&](int column, const auto load, auto) { sum += values(column, load); });
  const float mean = Sum(sum) / static_cast<float>(width);
  Floats squares = {};
  float ones[kLanes];
  Store(ones, Broadcast(1.0f));
  ForEachVector(width, [&](int column, const auto load, auto) {
    // Lanes behind the row's end count zero.
    const Floats deviation = (values(column, load) - mean) * load(ones);
    squares += deviation * deviation;
  });
  const float variance = Sum(squares) / static_cast<float>(width);
  const float scale = 1.0f / __builtin_sqrtf(variance + norm.epsilon);
  ForEachVector(width, [&](int column, const auto load, const auto store) {
    const Floats normed = (values(column, load) - mean) * scale;
    store(out + column, normed * load(norm.weight + column) + load(norm.bias + column));
  });
}

template <typename T, typename Out>
inline void NormStoredRow(const T* row, int width, const Norm& norm, Out* out) {
  NormRow(width, norm, out, [row](int column, const auto load) { return load(row + column); });
}

template <typename T, typename Out>
inline void NormRowsOf(const LayerNormArgs& args, int first, int last) {
  const Norm norm = {args.weight, args.bias, args.epsilon};
  for (int row = first; row < last; ++row) {
    const size_t start = static_cast<size_t>(row) * args.width;
    T* x = static_cast<T*>(args.x) + start;
    if (args.delta != nullptr) {
      const T* delta = static_cast<const T*>(args.delta) + start;
      ForEachVector(args.width, [&](int column, const auto load, const auto store) {
        store(x + column, load(x + column) + load(delta + column));
      });
    }
    if (args.out != nullptr)
      NormStoredRow(x, args.width, norm, static_cast<Out*>(args.out) + start);
  }
}

inline void NormRows(const LayerNormArgs& args, int first, int last) {
  if (args.type == ElementType::kFloat32) {
    NormRowsOf<float, float>(args, first, last);
  } else if (args.out_type == ElementType::kFloat32) {
    NormRowsOf<BFloat16, float>(args, first, last);
  } else {
    NormRowsOf<BFloat16, BFloat16>(args, first, last);
  }
}

template <typename T>
inline void MergeRowsOf(const MergeTokensArgs& args, int first, int last) {
  const Norm norm = {args.norm_weight, args.norm_bias, args.epsilon};
  const T* x = static_cast<const T*>(args.x);
  const auto row_of = [&](int row) { return x + static_cast<size_t>(row) * args.width; };
  const auto size_of = [&](int row) { return args.size == nullptr ? 1.0f : args.size[row]; };
  for (int row = first; row < last; ++row) {
    const int own = args.own_row[row];
    const int* sources = args.source_row + args.first_source[row];
    const int count = args.source_count[row];
    T* out = static_cast<T*>(args.x_out) + static_cast<size_t>(row) * args.width;
    float total = size_of(own);
    for (int i = 0; i < count; ++i) total += size_of(sources[i]);
    if (count == 0) {
      __builtin_memcpy(out, row_of(own), args.width * sizeof(T));
    } else {
      ForEachVector(args.width, [&](int column, const auto load, const auto store) {
        Floats sum = load(row_of(own) + column) * size_of(own);
        for (int i = 0; i < count; ++i) {
          sum += load(row_of(sources[i]) + column) * size_of(sources[i]);
        }
        store(out + column, sum / total);
      });
    }
    args.size_out[row] = total;
    args.log_size_out[row] = __builtin_logf(total);
    NormStoredRow(out, args.width, norm,
                  static_cast<T*>(args.normed) + static_cast<size_t>(row) * args.width);
  }
}

inline void MergeRows(const MergeTokensArgs& args, int first, int last) {
  if (args.type == ElementType::kFloat32) {
    MergeRowsOf<float>(args, first, last);
  } else {
    MergeRowsOf<BFloat16>(args, first, last);
  }
}

inline Floats Sigmoid(Floats x) { return 1.0f / (Exponential(-x) + 1.0f); }

template <typename T>
inline void ActivateRowsOf(const ActivationArgs& args, int first, int last) {
  const size_t width = static_cast<size_t>(args.width);
  for (int row = first; row < last; ++row) {
    T* out = static_cast<T*>(args.out) + row * width;
    if (args.activation == Activation::kQuickGelu) {
      const T* in = static_cast<const T*>(args.in) + row * width;
      ForEachVector(args.width, [&](int column, const auto load, const auto store) {
        const Floats x = load(in + column);
        store(out + column, x * Sigmoid(x * 1.702f));
      });
    } else {
      const T* gate = static_cast<const T*>(args.in) + row * 2 * width;
      ForEachVector(args.width, [&](int column, const auto load, const auto store) {
        const Floats x = load(gate + column);
        store(out + column, x * Sigmoid(x) * load(gate + width + column));
      });
    }
  }
}

inline void ActivateRows(const ActivationArgs& args, int first, int last) {
  if (args.type == ElementType::kFloat32) {
    ActivateRowsOf<float>(args, first, last);
  } else {
    ActivateRowsOf<BFloat16>(args, first, last);
  }
}

template <typename T>
inline void AssembleRowsOf(const AssemblePatchesArgs& args, int first, int last) {
  const Norm norm = {args.norm_weight, args.norm_bias, args.epsilon};
  for (int row = first; row < last; ++row) {
    const int packed_patch = args.first_row + row;
    const int image = packed_patch / args.patches;
    const int patch = packed_patch % args.patches;
    const T* embedding =
        static_cast<const T*>(args.embeddings) + static_cast<size_t>(row) * args.width;
    const float* position = args.position + static_cast<size_t>(patch) * args.width;
    const size_t token = static_cast<size_t>(image) * (args.prefix_tokens + args.patches) +
                         args.prefix_tokens + patch;
    T* x = static_cast<T*>(args.x) + token * args.width;
    const auto sum = [&](int column, const auto load) {
      return load(embedding + column) + load(position + column);
    };
    if (args.norm_weight != nullptr) {
      NormRow(args.width, norm, x, sum);
    } else {
      ForEachVector(args.width, [&](int column, const auto load, const auto store) {
        store(x + column, sum(column, load));
      });
    }
  }
}

inline void AssembleRows(const AssemblePatchesArgs& args, int first, int last) {
  if (args.type == ElementType::kFloat32) {
    AssembleRowsOf<float>(args, first, last);
  } else {
    AssembleRowsOf<BFloat16>(args, first, last);
  }
}

inline void Exponentials(const float* in, float* out, int count) {
  ForEachVector(count, [&](int column, const auto load, const auto store) {
    store(out + column, Exponential(load(in + column)));
  });
}

}  // namespace tome::kernels::cpu::TOME_SIMD

#endif  // TOME_SERVER_KERNELS_CPU_SIMD_ROWS_H_
