#ifndef TOME_SERVER_KERNELS_CPU_INSTRUCTION_SET_H_
#define TOME_SERVER_KERNELS_CPU_INSTRUCTION_SET_H_

#include <span>

namespace tome::kernels::cpu {

// What the kernels are compiled for, each from the same source. Results differ between them by
// rounding, so one is chosen for the life of a process.
enum class InstructionSet {
  kPortable,        // what every x86-64 processor has: SSE2, 4 floats at a time
  kAvx2,            // with FMA, 8 floats
  kAvx512,          // F, BW, DQ and VL, 16 floats
  kAvx512BFloat16,  // and its dot product of bfloat16 pairs
};

const char* InstructionSetName(InstructionSet set);

// Those that this processor and operating system have, the best one last.
std::span<const InstructionSet> SupportedInstructionSets();

inline InstructionSet BestInstructionSet() { return SupportedInstructionSets().back(); }

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_INSTRUCTION_SET_H_
