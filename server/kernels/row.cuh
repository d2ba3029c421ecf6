#ifndef TOME_SERVER_KERNELS_ROW_CUH_
#define TOME_SERVER_KERNELS_ROW_CUH_

#include "server/kernels/element.cuh"
#include "server/kernels/launch.cuh"

// A row of tokens in the registers of one warp: lane l holds elements [256 i + 8 l, 256 i + 8 l +
// 8) as values[i]. What lies behind the row's end counts as zero.
namespace tome::kernels {

inline constexpr int kRowStep = kWarp * kElementsPerAccess;
inline constexpr int kMaxSteps = kMaxWidth / kRowStep;
// Warps of a block, each with a row of its own.
inline constexpr int kRowsPerBlock = 8;

template <int kSteps>
struct Row {
  float values[kSteps][8];

  static __device__ __forceinline__ int Column(int step) {
    return step * kRowStep + static_cast<int>(threadIdx.x) % kWarp * kElementsPerAccess;
  }

  template <typename T>
  __device__ __forceinline__ void Load(const T* row, int width) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      if (Column(i) < width) {
        Load8(row + Column(i), values[i]);
      } else {
#pragma unroll
        for (float& value : values[i]) value = 0;
      }
    }
  }

  template <typename T>
  __device__ __forceinline__ void Store(T* row, int width) const {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      if (Column(i) < width) Store8(row + Column(i), values[i]);
    }
  }

  // values += row
  __device__ __forceinline__ void Add(const float* row, int width) { AddScaled(row, 1.0f, width); }

  // values += factor * row
  template <typename T>
  __device__ __forceinline__ void AddScaled(const T* row, float factor, int width) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      if (Column(i) < width) {
        float other[8];
        Load8(row + Column(i), other);
#pragma unroll
        for (int j = 0; j < 8; ++j) values[i][j] = fmaf(factor, other[j], values[i][j]);
      }
    }
  }

  // values += factor * other
  __device__ __forceinline__ void AddScaled(const Row& other, float factor) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
#pragma unroll
      for (int j = 0; j < 8; ++j) values[i][j] = fmaf(factor, other.values[i][j], values[i][j]);
    }
  }

  __device__ __forceinline__ void Clear() {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
#pragma unroll
      for (float& value : values[i]) value = 0;
    }
  }

  __device__ __forceinline__ void Scale(float factor) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
#pragma unroll
      for (float& value : values[i]) value *= factor;
    }
  }

  __device__ __forceinline__ void DivideBy(float divisor) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
#pragma unroll
      for (float& value : values[i]) value /= divisor;
    }
  }

  // What storing as T and loading again makes of it.
  template <typename T>
  __device__ __forceinline__ void RoundTo() {
    if constexpr (!std::is_same_v<T, float>) {
#pragma unroll
      for (int i = 0; i < kSteps; ++i) {
#pragma unroll
        for (int j = 0; j < 8; j += 2) {
          Unpack<T>(Pack<T>(values[i][j], values[i][j + 1]), values[i][j], values[i][j + 1]);
        }
      }
    }
  }

  // values = (values - mean) / sqrt(variance + epsilon)
  __device__ __forceinline__ void Standardize(float epsilon, int width) {
    float sum = 0;
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
#pragma unroll
      for (const float value : values[i]) sum += value;
    }
    const float mean = WarpSum(sum) / static_cast<float>(width);
    float squares = 0;
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      if (Column(i) < width) {
#pragma unroll
        for (float& value : values[i]) {
          value -= mean;
          squares = fmaf(value, value, squares);
        }
      }
    }
    Scale(rsqrtf(WarpSum(squares) / static_cast<float>(width) + epsilon));
  }

  // values = values * weight + bias, element by element
  __device__ __forceinline__ void Affine(const float* weight, const float* bias, int width) {
#pragma unroll
    for (int i = 0; i < kSteps; ++i) {
      if (Column(i) < width) {
        float weights[8];
        float biases[8];
        Load8(weight + Column(i), weights);
        Load8(bias + Column(i), biases);
#pragma unroll
        for (int j = 0; j < 8; ++j) values[i][j] = fmaf(values[i][j], weights[j], biases[j]);
      }
    }
  }

  __device__ __forceinline__ void LayerNorm(const float* weight, const float* bias, float epsilon,
                                            int width) {
    Standardize(epsilon, width);
    Affine(weight, bias, width);
  }
};

// The row that the calling warp has to do.
__device__ __forceinline__ int WarpRow() {
  return static_cast<int>(blockIdx.x) * kRowsPerBlock + static_cast<int>(threadIdx.x) / kWarp;
}

inline LaunchShape RowPerWarp(int rows) {
  return {.grid = dim3(static_cast<unsigned int>(CeilDiv(rows, kRowsPerBlock))),
          .threads = kRowsPerBlock * kWarp};
}

// Calls `launch` with std::integral_constant of steps that hold a row of `width`: of those that
// ViTs have (768, 1024, 1280, and what is between or beyond), so that a kernel compiles in few
// versions.
template <typename Function>
cudaError_t ForRowSteps(int width, const Function& launch) {
  if (width <= 3 * kRowStep) return launch(std::integral_constant<int, 3>());
  if (width <= 4 * kRowStep) return launch(std::integral_constant<int, 4>());
  if (width <= 5 * kRowStep) return launch(std::integral_constant<int, 5>());
  if (width <= kMaxSteps * kRowStep) return launch(std::integral_constant<int, kMaxSteps>());
  return cudaErrorInvalidValue;
}

inline bool IsRowWidth(int width) {
  return width > 0 && width % kElementsPerAccess == 0 && width <= kMaxWidth;
}

}  // namespace tome::kernels

#endif  // TOME_SERVER_KERNELS_ROW_CUH_
