#ifndef TOME_SERVER_KERNELS_CPU_PARALLEL_FOR_H_
#define TOME_SERVER_KERNELS_CPU_PARALLEL_FOR_H_

#include "server/kernels/cpu/instruction_set.h"

namespace tome::kernels::cpu {

// The threads a kernel runs on. They belong to whoever calls the kernels: one owner for all
// compute.
class ParallelFor {
 public:
  ParallelFor() = default;
  ParallelFor(const ParallelFor&) = delete;
  ParallelFor& operator=(const ParallelFor&) = delete;
  virtual ~ParallelFor() = default;

  // Calls of a body that may run at once.
  virtual int workers() const = 0;

  // body(task, worker) once for each task in [0, tasks), in any order and on any thread; calls that
  // run at once have different workers in [0, workers()). Returns when all are done. A body must
  // not throw and not come here again.
  template <typename Body>
  void operator()(int tasks, const Body& body) const {
    Run(tasks, &Call<Body>, &body);
  }

 protected:
  using Function = void (*)(const void* body, int task, int worker);
  virtual void Run(int tasks, Function function, const void* body) const = 0;

 private:
  template <typename Body>
  static void Call(const void* body, int task, int worker) {
    (*static_cast<const Body*>(body))(task, worker);
  }
};

// On the calling thread.
class Serial final : public ParallelFor {
 public:
  int workers() const override { return 1; }

 private:
  void Run(int tasks, Function function, const void* body) const override {
    for (int task = 0; task < tasks; ++task) function(body, task, 0);
  }
};

// What every kernel takes beside its arguments.
struct Compute {
  const ParallelFor& parallel;
  InstructionSet instructions = BestInstructionSet();
};

// Tasks to cut each of `units` equal pieces of work into, so that every worker has at least two.
inline int PartsForWorkers(int units, int workers) {
  if (workers == 1 || units >= 2 * workers) return 1;
  return (2 * workers + units - 1) / units;
}

}  // namespace tome::kernels::cpu

#endif  // TOME_SERVER_KERNELS_CPU_PARALLEL_FOR_H_
