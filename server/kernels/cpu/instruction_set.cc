#include "server/kernels/cpu/instruction_set.h"

#include <array>
#include <cstddef>

namespace tome::kernels::cpu {
namespace {

constexpr std::array kAll = {InstructionSet::kPortable, InstructionSet::kAvx2,
                             InstructionSet::kAvx512, InstructionSet::kAvx512BFloat16};

// Each includes the ones before it. The builtin also asks whether the system saves the registers.
size_t CountSupported() {
  if (!__builtin_cpu_supports("avx2") || !__builtin_cpu_supports("fma")) return 1;
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  if (!avx512) return 2;
  return __builtin_cpu_supports("avx512bf16") ? 4 : 3;
}

}  // namespace

const char* InstructionSetName(InstructionSet set) {
  switch (set) {
    case InstructionSet::kPortable:
      return "SSE2";
    case InstructionSet::kAvx2:
      return "AVX2";
    case InstructionSet::kAvx512:
      return "AVX-512";
    case InstructionSet::kAvx512BFloat16:
      break;
  }
  return "AVX-512 bfloat16";
}

std::span<const InstructionSet> SupportedInstructionSets() {
  static const size_t count = CountSupported();
  return std::span(kAll).first(count);
}

}  // namespace tome::kernels::cpu
