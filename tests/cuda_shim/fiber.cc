#include "tests/cuda_shim/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <cstdlib>

#if defined(__SANITIZE_ADDRESS__)
#define TOME_SHIM_ASAN 1
#endif
#if defined(TOME_SHIM_TSAN)
#include <sanitizer/tsan_interface.h>
#endif
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TOME_SHIM_ASAN 1
#endif
#endif
#if defined(TOME_SHIM_ASAN)
#include <sanitizer/common_interface_defs.h>
#endif

#if !defined(__x86_64__)
#error "The fibers' switch is written for x86-64, as the server's Debian packages are."
#endif

namespace cuda_shim {
namespace {

constexpr size_t kStackBytes = 256 * 1024;
// The fiber that the running one was reached from.
thread_local Fiber* previous = nullptr;

}  // namespace

// Saves the registers that a call keeps (System V ABI for x86-64, 3.2.1) on the running stack,
// leaves its pointer in *save, and goes on where `load` was left.
extern "C" void TomeShimSwitchStack(void** save, void* load);
asm(R"(
.text
.globl TomeShimSwitchStack
.type TomeShimSwitchStack, @function
TomeShimSwitchStack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size TomeShimSwitchStack, .-TomeShimSwitchStack

.globl TomeShimStart
.type TomeShimStart, @function
TomeShimStart:
  movq %r12, %rdi
  call *%r13
  ud2
.size TomeShimStart, .-TomeShimStart
)");
extern "C" void TomeShimStart();

Fiber::Fiber(void (*body)(void*), void* argument) {
  stack_ = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (stack_ == MAP_FAILED) std::abort();
  stack_bottom_ = stack_;
  stack_size_ = kStackBytes;
#if defined(TOME_SHIM_TSAN)
  thread_sanitizer_fiber_ = __tsan_create_fiber(0);
#endif
  Restart(body, argument);
}

Fiber::~Fiber() {
  if (stack_ == nullptr) return;
#if defined(TOME_SHIM_TSAN)
  __tsan_destroy_fiber(thread_sanitizer_fiber_);
#endif
  munmap(stack_, kStackBytes);
}

void Fiber::Restart(void (*body)(void*), void* argument) {
  body_ = body;
  argument_ = argument;
  // As TomeShimSwitchStack leaves a stack: six registers and where to go on, which a call's stack
  // alignment (a multiple of 16 before the call) puts 16 bytes below the top.
  auto* top = reinterpret_cast<uint64_t*>(static_cast<char*>(stack_) + kStackBytes);
  uint64_t* frame = top - 9;
  frame[0] = 0;                                   // r15
  frame[1] = 0;                                   // r14
  frame[2] = reinterpret_cast<uint64_t>(&Enter);  // r13
  frame[3] = reinterpret_cast<uint64_t>(this);    // r12
  frame[4] = 0;                                   // rbx
  frame[5] = 0;                                   // rbp
  frame[6] = reinterpret_cast<uint64_t>(&TomeShimStart);
  frame[7] = 0;
  frame[8] = 0;
  stack_pointer_ = frame;
  fake_stack_ = nullptr;
}

void Fiber::Enter(Fiber* self) {
  self->Arrived();
  self->body_(self->argument_);
  std::abort();
}

void Fiber::Arrived() {
#if defined(TOME_SHIM_ASAN)
  const void* bottom = nullptr;
  size_t size = 0;
  __sanitizer_finish_switch_fiber(fake_stack_, &bottom, &size);
  if (previous->stack_ == nullptr) {
    previous->stack_bottom_ = bottom;
    previous->stack_size_ = size;
  }
#endif
}

void Fiber::Switch(Fiber& from, Fiber& to) {
  previous = &from;
#if defined(TOME_SHIM_ASAN)
  __sanitizer_start_switch_fiber(&from.fake_stack_, to.stack_bottom_, to.stack_size_);
#endif
#if defined(TOME_SHIM_TSAN)
  if (from.stack_ == nullptr) from.thread_sanitizer_fiber_ = __tsan_get_current_fiber();
  __tsan_switch_to_fiber(to.thread_sanitizer_fiber_, __tsan_switch_to_fiber_no_sync);
#endif
  TomeShimSwitchStack(&from.stack_pointer_, to.stack_pointer_);
  from.Arrived();
}

}  // namespace cuda_shim
