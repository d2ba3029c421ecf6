#ifndef TOME_SERVER_KERNELS_CPU_SIMD_ATTENTION_H_
#define TOME_SERVER_KERNELS_CPU_SIMD_ATTENTION_H_

#include "server/kernels/cpu/simd/dot.h"
#include "server/kernels/cpu/simd/kernels.h"

namespace tome::kernels::cpu::TOME_SIMD {

inline float ToFloat(float value) { return value; }
inline float ToFloat(BFloat16 value) {
  return __builtin_bit_cast(float, static_cast<uint32_t>(value.bits) << 16);
}

// Scratch is laid out in words of 4 bytes, as dot.h has them.
struct AttentionScratch {
  AttentionScratch(void* memory, int keys, int key_words) {
    row_stride = RoundUpToLanes(keys);
    bias = static_cast<float*>(memory);
    logits = bias + row_stride;
    query = logits + static_cast<size_t>(kBlockRows) * row_stride;
    key_panels = query + static_cast<size_t>(kBlockRows) * RoundUpToLanes(key_words);
    value_panels = key_panels + static_cast<size_t>(row_stride) * key_words;
  }

  int row_stride;       // of `logits`
  float* bias;          // [keys]; minus infinity behind the last
  float* logits;        // [kBlockRows, keys], then the softmax's numerators in their place
  float* query;         // [kBlockRows, key words]
  float* key_panels;    // [key words, keys] as panels
  float* value_panels;  // [value words, head_size] as panels
};

// Rows of different tokens lie far from each other, where the processor does not see them coming.
template <typename T>
inline void Prefetch(const T* row, int elements) {
  constexpr int kPerLine = 64 / sizeof(T);
  for (int i = 0; i < elements; i += kPerLine) __builtin_prefetch(row + i);
}

// One word of a dot product: the elements from `from` on, zero behind `count` of them.
template <typename Dot, typename T>
inline float MakeWord(const T* from, int count) {
  if constexpr (Dot::kElementsPerWord == 1) {
    static_cast<void>(count);
    return ToFloat(*from);
  } else {
    float word;
    if (count > 1) {
      __builtin_memcpy(&word, from, sizeof word);
    } else {
      word = ToFloat(BFloat16{0});
      __builtin_memcpy(&word, from, sizeof *from);
    }
    return word;
  }
}

template <typename Dot, typename T>
inline void PackRow(const T* from, int elements, float* to, int to_stride) {
  for (int i = 0, t = 0; i < elements; i += Dot::kElementsPerWord, ++t) {
    to[static_cast<size_t>(t) * to_stride] = MakeWord<Dot>(from + i, elements - i);
  }
}

template <typename Dot, typename T>
inline void PackKeys(const T* keys, size_t stride, int count, int head_size, int words,
                     float* panels) {
  constexpr int kAhead = 16;
  for (int key = 0; key < RoundUpToLanes(count); ++key) {
    if (key + kAhead < count) Prefetch(keys + (key + kAhead) * stride, head_size);
    float* column = panels + static_cast<size_t>(key / kLanes) * words * kLanes + key % kLanes;
    if (key < count) {
      PackRow<Dot>(keys + key * stride, head_size, column, kLanes);
    } else {
      for (int t = 0; t < words; ++t) column[static_cast<size_t>(t) * kLanes] = 0;
    }
  }
}

template <typename Dot, typename T>
inline void PackValues(const T* values, size_t stride, int count, int head_size, int words,
                       float* panels) {
  constexpr int kAhead = 16;
  for (int t = 0; t < words; ++t) {
    for (int i = 0; i < Dot::kElementsPerWord; ++i) {
      const int ahead = t * Dot::kElementsPerWord + kAhead + i;
      if (ahead < count) Prefetch(values + ahead * stride, head_size);
    }
    float* to = panels + static_cast<size_t>(t) * kLanes;
    ForEachVector(head_size, [&](int column, const auto load, auto) {
      if constexpr (Dot::kElementsPerWord == 1) {
        Store(to, load(values + t * stride + column));
      } else {
        const T* first = values + 2 * t * stride + column;
        const Bits low = reinterpret_cast<Bits>(load(first)) >> 16;
        const Bits high = 2 * t + 1 < count ? reinterpret_cast<Bits>(load(first + stride)) : Bits{};
        Store(to, reinterpret_cast<Floats>(low | high));
      }
      to += static_cast<size_t>(words) * kLanes;
    });
  }
}

// e^(logit - max) of a row in the logits' place, as the words of the next product; their sum.
template <typename Dot>
inline float SoftmaxNumerators(float* row, int padded, Floats maxima) {
  const Floats max = Broadcast(Max(maxima));
  Floats sum = {};
  for (int i = 0; i < padded; i += kLanes) {
    const Floats numerator = Exponential(Load(row + i) - max);
    if constexpr (Dot::kElementsPerWord == 1) {
      Store(row + i, numerator);
      sum += numerator;
    } else {
      // Halves take half the room: what is overwritten has been read.
      const HalfBits rounded = ToBFloat16(numerator);
      __builtin_memcpy(reinterpret_cast<char*>(row) + 2 * i, &rounded, sizeof rounded);
      sum += Widen(rounded);
    }
  }
  return Sum(sum);
}

template <typename T, typename Dot>
inline void AttendWith(const AttentionArgs& args, const AttentionTask& task, void* memory) {
  constexpr int kPerWord = Dot::kElementsPerWord;
  const int head_size = args.head_size;
  const int key_words = (head_size + kPerWord - 1) / kPerWord;
  const int value_words = (task.keys + kPerWord - 1) / kPerWord;
  const AttentionScratch scratch(memory, task.keys, key_words);
  const size_t head = static_cast<size_t>(task.head) * head_size;
  const size_t first_key = static_cast<size_t>(task.first_key);

  PackKeys<Dot>(static_cast<const T*>(args.k) + first_key * args.k_stride + head, args.k_stride,
                task.keys, head_size, key_words, scratch.key_panels);
  PackValues<Dot>(static_cast<const T*>(args.v) + first_key * args.v_stride + head, args.v_stride,
                  task.keys, head_size, value_words, scratch.value_panels);
  for (int i = 0; i < scratch.row_stride; ++i) {
    const float log_size =
        args.log_size == nullptr || i >= task.keys ? 0 : args.log_size[first_key + i];
    scratch.bias[i] = i < task.keys ? log_size : -__builtin_inff();
  }

  const T* q = static_cast<const T*>(args.q) + head;
  // A row of q may be the words that it is multiplied by.
  const bool in_words = sizeof(T) * kPerWord == sizeof(float) && head_size % kPerWord == 0 &&
                        args.q_stride % kPerWord == 0;
  T* out = static_cast<T*>(args.out) + head;
  const size_t out_stride = static_cast<size_t>(args.heads) * head_size;
  for (int done = 0; done < task.queries; done += kBlockRows) {
    const int rows = task.queries - done < kBlockRows ? task.queries - done : kBlockRows;
    const size_t first = static_cast<size_t>(task.first_query) + done;
    for (int i = 0; i < rows && !in_words; ++i) {
      PackRow<Dot>(q + (first + i) * args.q_stride, head_size, scratch.query + i * key_words, 1);
    }
    const float* query =
        in_words ? reinterpret_cast<const float*>(q + first * args.q_stride) : scratch.query;
    const size_t query_stride = in_words ? args.q_stride / kPerWord : key_words;
    for (int i = rows; i < 2 * rows && done + i < task.queries; ++i) {
      Prefetch(q + (first + i) * args.q_stride, head_size);
    }
    Floats maxima[kBlockRows];
    for (Floats& max : maxima) max = Broadcast(-__builtin_inff());
    MultiplyBlock<Dot>(rows, query, query_stride, scratch.key_panels, scratch.row_stride / kLanes,
                       key_words, [&](int i, int panel, Floats sum) {
                         const Floats logit =
                             sum * args.scale + Load(scratch.bias + panel * kLanes);
                         Store(scratch.logits + i * scratch.row_stride + panel * kLanes, logit);
                         maxima[i] = Max(maxima[i], logit);
                       });
    float totals[kBlockRows];
    for (int i = 0; i < rows; ++i) {
      totals[i] = SoftmaxNumerators<Dot>(scratch.logits + i * scratch.row_stride,
                                         scratch.row_stride, maxima[i]);
    }
    MultiplyBlock<Dot>(rows, scratch.logits, scratch.row_stride, scratch.value_panels,
                       RoundUpToLanes(head_size) / kLanes, value_words,
                       [&](int i, int panel, Floats sum) {
                         const int column = panel * kLanes;
                         T* to = out + (first + i) * out_stride + column;
                         const Floats mean = sum / totals[i];
                         if (column + kLanes <= head_size) {
                           Store(to, mean);
                         } else {
                           StorePart(to, mean, head_size - column);
                         }
                       });
  }
}

inline void Attend(const AttentionArgs& args, const AttentionTask& task, void* scratch) {
  if (args.type == ElementType::kFloat32) {
    AttendWith<float, FloatDot>(args, task, scratch);
    return;
  }
#if defined(__AVX512BF16__)
  AttendWith<BFloat16, BFloat16Dot>(args, task, scratch);
#else
  AttendWith<BFloat16, FloatDot>(args, task, scratch);
#endif
}

}  // namespace tome::kernels::cpu::TOME_SIMD

#endif  // TOME_SERVER_KERNELS_CPU_SIMD_ATTENTION_H_
