#ifndef TOME_TESTS_CUDA_SHIM_FIBER_H_
#define TOME_TESTS_CUDA_SHIM_FIBER_H_

#include <cstddef>

namespace cuda_shim {

// A flow of control with a stack of its own, on the thread that runs it: what one thread of a CUDA
// block is here. The sanitizers are told of every switch; a switch orders no memory, so that
// ThreadSanitizer sees two fibers as it sees two threads, and reports a missing barrier.
class Fiber {
 public:
  // The calling thread's own flow, to come back to.
  Fiber() = default;
  // Runs body(argument) when first switched to. body never returns: it ends by switching away, and
  // the fiber is never resumed.
  Fiber(void (*body)(void*), void* argument);
  ~Fiber();
  Fiber(const Fiber&) = delete;
  Fiber& operator=(const Fiber&) = delete;

  // Leaves `from`, which is running, and goes on with `to`.
  static void Switch(Fiber& from, Fiber& to);

  // As the constructor, on the stack that is there already.
  void Restart(void (*body)(void*), void* argument);

 private:
  static void Enter(Fiber* self);
  void Arrived();

  void* stack_pointer_ = nullptr;
  void* stack_ = nullptr;  // null for a thread's own flow
  void (*body_)(void*) = nullptr;
  void* argument_ = nullptr;
  [[maybe_unused]] void* thread_sanitizer_fiber_ = nullptr;
  // AddressSanitizer's: where the stack is, known of a thread's own once it has been left.
  const void* stack_bottom_ = nullptr;
  size_t stack_size_ = 0;
  void* fake_stack_ = nullptr;
};

}  // namespace cuda_shim

#endif  // TOME_TESTS_CUDA_SHIM_FIBER_H_
