#ifndef TOME_TESTS_CUDA_SHIM_CUDA_SHIM_PTX_H_
#define TOME_TESTS_CUDA_SHIM_CUDA_SHIM_PTX_H_

// What the instructions of server/kernels/ptx.cuh do, lane by lane, after the PTX ISA (9.0;
// its sections are named by their titles). A wrong layout here would go unnoticed
// with a kernel that is wrong the same way: tests/kernels/ptx_test.cc therefore holds these
// bodies and the real instructions against the same plain products.

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_shim.h>

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

namespace cuda_shim {

inline void RequireAligned(const void* pointer, size_t bytes, const char* what) {
  if (reinterpret_cast<uintptr_t>(pointer) % bytes != 0) Fail(what);
}

// "Warp-level matrix load instruction: ldmatrix": lanes 8 i to 8 i + 7 give the rows of matrix i,
// 16 bytes each; lane l receives of each matrix the elements 2 (l % 4) and the next of row l / 4.
// With .trans they are the elements of column l / 4, rows 2 (l % 4) and the next.
template <int kMatrices, bool kTransposed>
void LoadMatrices(const void* row, uint32_t (&registers)[kMatrices]) {
  RequireAligned(row, 16, "ldmatrix: a row that is not on 16 bytes");
  const uint64_t address = reinterpret_cast<uintptr_t>(row);
  const uint32_t words[2] = {static_cast<uint32_t>(address), static_cast<uint32_t>(address >> 32)};
  const unsigned int* rows = WarpExchange(words, 2);
  const int lane = static_cast<int>(CurrentPosition().thread.x) % 32;
  for (int i = 0; i < kMatrices; ++i) {
    const auto element = [&](int r, int column) {
      const unsigned int* word = rows + 2 * (8 * i + r);
      const auto* from = reinterpret_cast<const uint16_t*>(
          static_cast<uintptr_t>(word[0] | (static_cast<uint64_t>(word[1]) << 32)));
      return static_cast<uint32_t>(from[column]);
    };
    const int major = lane / 4;
    const int minor = lane % 4 * 2;
    registers[i] = kTransposed ? element(minor, major) | (element(minor + 1, major) << 16)
                               : element(major, minor) | (element(major, minor + 1) << 16);
  }
}

// "Matrix Fragments for mma.m16n8k16 with floating point type", .f16 and .bf16. With
// group = lane / 4 and t = lane % 4:
//   A[row, k]     registers 0..3 are row group + 8 (i % 2), k 2 t + 8 (i / 2) and the next
//   B[k, column]  registers 0..1 are column group, k 2 t + 8 i and the next
//   C[row, column] registers 0..3 are row group + 8 (i / 2), column 2 t + i % 2
// Float32 sums; the order of the 16 products in one is the hardware's own.
template <float (*kToFloat)(uint16_t)>
void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  const uint32_t words[6] = {a[0], a[1], a[2], a[3], b[0], b[1]};
  const unsigned int* all = WarpExchange(words, 6);
  const int lane = static_cast<int>(CurrentPosition().thread.x) % 32;
  const int group = lane / 4;
  const int t = lane % 4;
  float rows[2][16];
  float columns[2][16];
  for (int k = 0; k < 16; ++k) {
    const int holder = k % 8 / 2;
    const int half = k / 8;
    const auto value = [&](int from, int word) {
      return kToFloat(static_cast<uint16_t>(all[6 * from + word] >> (k % 2 * 16)));
    };
    for (int i = 0; i < 2; ++i) {
      rows[i][k] = value(4 * group + holder, i + 2 * half);
      columns[i][k] = value(4 * (2 * t + i) + holder, 4 + half);
    }
  }
  for (int i = 0; i < 4; ++i) {
    float sum = 0;
    for (int k = 0; k < 16; ++k) sum += rows[i / 2][k] * columns[i % 2][k];
    c[i] += sum;
  }
}

inline float HalfBits(uint16_t bits) { return __half2float(__half{bits}); }
inline float BFloat16Bits(uint16_t bits) { return __bfloat162float(__nv_bfloat16{bits}); }

}  // namespace cuda_shim

namespace tome::kernels::ptx {

inline void LoadMatrix4(uint32_t (&registers)[4], const void* row) {
  cuda_shim::LoadMatrices<4, false>(row, registers);
}
inline void LoadMatrix4Transposed(uint32_t (&registers)[4], const void* row) {
  cuda_shim::LoadMatrices<4, true>(row, registers);
}

inline void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2], __half) {
  cuda_shim::MultiplyAdd<cuda_shim::HalfBits>(c, a, b);
}
inline void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], const uint32_t (&b)[2],
                        __nv_bfloat16) {
  cuda_shim::MultiplyAdd<cuda_shim::BFloat16Bits>(c, a, b);
}

inline void CopyAsync16(void* to, const void* from, int from_bytes) {
  cuda_shim::RequireAligned(to, 16, "cp.async: a destination that is not on 16 bytes");
  cuda_shim::RequireAligned(from, 16, "cp.async: a source that is not on 16 bytes");
  cuda_shim::AddAsyncCopy(to, from, from_bytes);
}
inline void CommitCopies() { cuda_shim::CommitAsyncCopies(); }
template <int kPendingGroups>
void WaitForCopies() {
  cuda_shim::AsyncCopy copy;
  while (cuda_shim::NextAsyncCopy(kPendingGroups, &copy)) {
    unsigned char bytes[16] = {};
    if (copy.source_bytes > 0) std::memcpy(bytes, copy.source, copy.source_bytes);
    std::memcpy(copy.to, bytes, sizeof(bytes));
  }
}

inline float Exp2(float x) { return std::exp2(x); }

}  // namespace tome::kernels::ptx

#endif  // TOME_TESTS_CUDA_SHIM_CUDA_SHIM_PTX_H_
