#ifndef TOME_SERVER_KERNELS_CPU_SIMD_VECTOR_H_
#define TOME_SERVER_KERNELS_CPU_SIMD_VECTOR_H_

// A vector of floats as wide as this file's instruction set, with the few operations the kernels
// are written in.
//
// The headers in this folder are compiled once for each instruction set, inside the namespace
// TOME_SIMD. They call nothing of the standard library's: an inline function of a shared name could
// be compiled here with instructions that the processor lacks, and be the copy that the linker
// keeps for everyone.

#include <cstddef>
#include <cstdint>

#if defined(__AVX512BF16__)
#include <immintrin.h>
#endif

#ifndef TOME_SIMD
#error "TOME_SIMD names the instruction set's namespace"
#endif

#if defined(__AVX512F__)
#define TOME_SIMD_LANES 16
#define TOME_SIMD_BLOCK_ROWS 8
#elif defined(__AVX2__)
#define TOME_SIMD_LANES 8
#define TOME_SIMD_BLOCK_ROWS 6
#else
#define TOME_SIMD_LANES 4
#define TOME_SIMD_BLOCK_ROWS 4
#endif

namespace tome::kernels::cpu::TOME_SIMD {

inline constexpr int kLanes = TOME_SIMD_LANES;

using Floats = float __attribute__((vector_size(4 * TOME_SIMD_LANES)));
using Ints = int32_t __attribute__((vector_size(4 * TOME_SIMD_LANES)));
using Bits = uint32_t __attribute__((vector_size(4 * TOME_SIMD_LANES)));
using HalfBits = uint16_t __attribute__((vector_size(2 * TOME_SIMD_LANES)));

// A bfloat16 number as memory holds it: the upper half of a float.
struct BFloat16 {
  uint16_t bits;
};

constexpr int RoundUpToLanes(int count) { return (count + kLanes - 1) / kLanes * kLanes; }

inline Floats Broadcast(float value) { return Floats{} + value; }

// Lanes 0, 1, 2, ...
inline Ints LaneNumbers() {
  Ints lanes;
  for (int i = 0; i < kLanes; ++i) lanes[i] = i;
  return lanes;
}

inline Floats Load(const float* from) {
  Floats values;
  __builtin_memcpy(&values, from, sizeof values);
  return values;
}

inline Floats Widen(HalfBits halves) {
  return reinterpret_cast<Floats>(__builtin_convertvector(halves, Bits) << 16);
}

inline Floats Load(const BFloat16* from) {
  HalfBits halves;
  __builtin_memcpy(&halves, from, sizeof halves);
  return Widen(halves);
}

// Rounds to the nearest, ties to even; a NaN stays one. AVX-512 BF16 takes denormals for zero.
inline HalfBits ToBFloat16(Floats values) {
#if defined(__AVX512BF16__)
  return reinterpret_cast<HalfBits>(_mm512_cvtneps_pbh(values));
#else
  const Bits bits = reinterpret_cast<Bits>(values);
  const Bits rounded = (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
  const Bits quiet = (bits >> 16) | 0x40u;
  return __builtin_convertvector(values == values ? rounded : quiet, HalfBits);
#endif
}

inline void Store(float* to, Floats values) { __builtin_memcpy(to, &values, sizeof values); }

inline void Store(BFloat16* to, Floats values) {
  const HalfBits halves = ToBFloat16(values);
  __builtin_memcpy(to, &halves, sizeof halves);
}

// The first `count` lanes only; the others are zero.
template <typename T>
inline Floats LoadPart(const T* from, int count) {
  T padded[kLanes] = {};
  __builtin_memcpy(padded, from, count * sizeof(T));
  return Load(padded);
}

template <typename T>
inline void StorePart(T* to, Floats values, int count) {
  T padded[kLanes];
  Store(padded, values);
  __builtin_memcpy(to, padded, count * sizeof(T));
}

inline Floats Max(Floats a, Floats b) { return a > b ? a : b; }

// What `join` makes of all lanes, halves first: few steps that wait for each other.
template <typename Join>
inline float Reduce(Floats values, const Join& join) {
  float lanes[kLanes];
  Store(lanes, values);
  for (int half = kLanes / 2; half > 0; half /= 2) {
    for (int i = 0; i < half; ++i) lanes[i] = join(lanes[i], lanes[i + half]);
  }
  return lanes[0];
}

inline float Sum(Floats values) {
  return Reduce(values, [](float a, float b) { return a + b; });
}

inline float Max(Floats values) {
  return Reduce(values, [](float a, float b) { return a > b ? a : b; });
}

// Calls body(column, load, store) for each vector of a row of `width` elements; load(pointer) and
// store(pointer, values) touch the row's own elements at that column only.
template <typename Body>
inline void ForEachVector(int width, const Body& body) {
  int column = 0;
  for (; column + kLanes <= width; column += kLanes) {
    body(
        column, [](const auto* from) { return Load(from); },
        [](auto* to, Floats values) { Store(to, values); });
  }
  const int left = width - column;
  if (left == 0) return;
  body(
      column, [left](const auto* from) { return LoadPart(from, left); },
      [left](auto* to, Floats values) { StorePart(to, values, left); });
}

// e^x within 2 units in the last place for x in [-87.33, 88.37]; below 0, above infinity, and NaN
// of NaN. e^x = 2^n e^r with n the nearest integer to x / ln 2; ln 2 is taken off in two parts, the
// first of them so short that n times it is exact.
inline Floats Exponential(Floats x) {
  constexpr float kLowest = -87.3365478515625f;
  constexpr float kHighest = 88.37f;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer
  const Floats inside = x < kLowest ? Broadcast(kLowest) : (x > kHighest ? Broadcast(kHighest) : x);
  const Floats shifted = inside * 1.44269504088896341f + kRound;
  const Floats n = shifted - kRound;
  Floats r = inside - n * 0.693359375f;
  r = r - n * -2.12194440e-4f;
  // Minimax polynomial of (e^r - 1 - r) / r^2 (Cephes, expf).
  Floats p = Broadcast(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = (p * r) * r + r + 1.0f;
  // The integer stands in the lowest bits of `shifted`.
  const Bits exponent = (reinterpret_cast<Bits>(shifted) + 127u) << 23;
  const Floats result = p * reinterpret_cast<Floats>(exponent);
  const Floats above = x > kHighest ? Broadcast(__builtin_inff()) : result;
  return x < kLowest ? Floats{} : above;
}

}  // namespace tome::kernels::cpu::TOME_SIMD

#endif  // TOME_SERVER_KERNELS_CPU_SIMD_VECTOR_H_
