// The threads of a block as fibers on one thread, one block after another. ThreadSanitizer does not
// instrument this file: what orders a block's threads is said to it by hand, barrier by barrier, so
// that it holds a kernel to exactly the order that CUDA promises.

#include <cuda_shim.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

#include "tests/cuda_shim/fiber.h"
#if defined(TOME_SHIM_TSAN)
#include <sanitizer/tsan_interface.h>
#endif

namespace cuda_shim {
namespace {

constexpr int kWarp = 32;
constexpr int kMaxThreads = 1024;
constexpr int kMaxWords = 16;

void Release([[maybe_unused]] void* address) {
#if defined(TOME_SHIM_TSAN)
  __tsan_release(address);
#endif
}
void Acquire([[maybe_unused]] void* address) {
#if defined(TOME_SHIM_TSAN)
  __tsan_acquire(address);
#endif
}

enum class State { kRunnable, kAtBlockBarrier, kInWarpCollective, kEnded };

struct Warp {
  int arrived = 0;
  int collective = 0;  // words that each lane gives, 0: a barrier
  // A lane may be one exchange ahead of the others, never two: the two take turns.
  unsigned int words[2][kWarp * kMaxWords];
};

struct Thread {
  std::unique_ptr<Fiber> fiber;
  Position position;
  State state = State::kRunnable;
  Warp* warp = nullptr;
  int lane = 0;
  unsigned int exchanges = 0;
  std::vector<AsyncCopy> copies;
  std::vector<size_t> groups;  // for each group that is open, the number of copies up to its end
  size_t copied = 0;
};

// One host thread's device.
struct Block {
  Fiber scheduler;
  Thread threads[kMaxThreads];
  Warp warps[kMaxThreads / kWarp];
  int size = 0;
  int alive = 0;
  int at_barrier = 0;
  bool backwards = false;  // which threads go first: every other block the last ones
  const std::function<void()>* body = nullptr;
  unsigned char* shared = nullptr;
  Thread* running = nullptr;
  // The threads that can go on, in order: a ring.
  Thread* ready[kMaxThreads];
  int first_ready = 0;
  int ready_count = 0;
};

Block& ThisBlock() {
  thread_local std::unique_ptr<Block> block = std::make_unique<Block>();
  return *block;
}
thread_local Block* current = nullptr;

Block& Running() {
  if (current == nullptr) Fail("device code outside of a kernel");
  return *current;
}

void MakeReady(Block& block, Thread& thread) {
  thread.state = State::kRunnable;
  block.ready[(block.first_ready + block.ready_count++) % kMaxThreads] = &thread;
}

// Goes on with the next thread that can.
void GoOn(Block& block) {
  Thread& from = *block.running;
  if (block.ready_count == 0) {
    Fail(
        "threads wait for each other: not all of a warp or a block reach the same collective call");
  }
  Thread& to = *block.ready[block.first_ready];
  block.first_ready = (block.first_ready + 1) % kMaxThreads;
  --block.ready_count;
  if (&to == &from) return;
  block.running = &to;
  Fiber::Switch(*from.fiber, *to.fiber);
}

void ReleaseBarrier(Block& block) {
  block.at_barrier = 0;
  for (int i = 0; i < block.size; ++i) {
    Thread& thread = block.threads[block.backwards ? block.size - 1 - i : i];
    if (thread.state == State::kAtBlockBarrier) MakeReady(block, thread);
  }
}

// Waits for the other lanes, which must be in the same collective.
void WarpArrive(Block& block, int collective) {
  Thread& self = *block.running;
  Warp& warp = *self.warp;
  if (block.size % kWarp != 0) Fail("a warp's collective in a block of incomplete warps");
  if (warp.arrived == 0) warp.collective = collective;
  if (warp.collective != collective) Fail("the lanes of a warp are in different collective calls");
  if (++warp.arrived < kWarp) {
    self.state = State::kInWarpCollective;
    GoOn(block);
    return;
  }
  warp.arrived = 0;
  Thread* lanes = &self - self.lane;
  for (int i = 0; i < kWarp; ++i) {
    Thread& lane = lanes[block.backwards ? kWarp - 1 - i : i];
    if (&lane != &self) MakeReady(block, lane);
  }
}

void RunThread(void*) {
  Block& block = *current;
  Acquire(&block);
  (*block.body)();
  Thread& self = *block.running;
  if (self.copied != self.copies.size()) Fail("a thread ends with asynchronous copies under way");
  self.state = State::kEnded;
  --block.alive;
  Release(&block);
  if (block.alive == 0) {
    Fiber::Switch(*self.fiber, block.scheduler);
  }
  // Who has ended is no longer waited for.
  if (block.at_barrier == block.alive) ReleaseBarrier(block);
  GoOn(block);
}

void RunBlock(Block& block, const Position& first, size_t shared_bytes) {
  block.size = static_cast<int>(first.block_size.x * first.block_size.y * first.block_size.z);
  block.alive = block.size;
  block.at_barrier = 0;
  block.first_ready = 0;
  block.ready_count = 0;
  for (size_t i = 0; i < shared_bytes; ++i) block.shared[i] = 0xff;
  for (Warp& warp : block.warps) warp.arrived = 0;
  for (int i = 0; i < block.size; ++i) {
    Thread& thread = block.threads[i];
    const dim3& size = first.block_size;
    thread.position = first;
    thread.position.thread = {i % size.x, i / size.x % size.y, i / size.x / size.y};
    thread.warp = &block.warps[i / kWarp];
    thread.lane = i % kWarp;
    thread.exchanges = 0;
    thread.copies.clear();
    thread.groups.clear();
    thread.copied = 0;
    if (thread.fiber == nullptr) {
      thread.fiber = std::make_unique<Fiber>(&RunThread, nullptr);
    } else {
      thread.fiber->Restart(&RunThread, nullptr);
    }
  }
  for (int i = 0; i < block.size; ++i) {
    MakeReady(block, block.threads[block.backwards ? block.size - 1 - i : i]);
  }
  Release(&block);
  block.running = block.ready[0];
  block.first_ready = 1;
  --block.ready_count;
  Fiber::Switch(block.scheduler, *block.running->fiber);
  Acquire(&block);
  block.backwards = !block.backwards;
}

}  // namespace

void RunGrid(dim3 grid, dim3 block_size, size_t shared_bytes, const std::function<void()>& thread) {
  if (current != nullptr) Fail("a launch from a kernel");
  Block& block = ThisBlock();
  current = &block;
  block.body = &thread;
  block.backwards = false;
  void* shared = nullptr;
  if (posix_memalign(&shared, 128, shared_bytes) != 0) Fail("no memory for shared memory");
  block.shared = static_cast<unsigned char*>(shared);
  for (unsigned int z = 0; z < grid.z; ++z) {
    for (unsigned int y = 0; y < grid.y; ++y) {
      for (unsigned int x = 0; x < grid.x; ++x) {
        RunBlock(block, {grid, block_size, {x, y, z}, {0, 0, 0}}, shared_bytes);
      }
    }
  }
  std::free(shared);
  current = nullptr;
}

const Position& CurrentPosition() { return Running().running->position; }

unsigned char* SharedMemory() { return Running().shared; }

void BlockBarrier() {
  Block& block = Running();
  Thread& self = *block.running;
  Release(&block.at_barrier);
  self.state = State::kAtBlockBarrier;
  if (++block.at_barrier == block.alive) ReleaseBarrier(block);
  GoOn(block);
  Acquire(&block.at_barrier);
}

void WarpBarrier() {
  Block& block = Running();
  Warp* warp = block.running->warp;
  Release(warp);
  WarpArrive(block, 0);
  Acquire(warp);
}

const unsigned int* WarpExchange(const unsigned int* words, int count) {
  Block& block = Running();
  Thread& self = *block.running;
  if (count < 1 || count > kMaxWords) Fail("an exchange of too many words");
  unsigned int* all = self.warp->words[self.exchanges++ % 2];
  // Word by word: ThreadSanitizer intercepts memcpy, and would take this for the kernel's access.
  volatile unsigned int* mine = all + self.lane * count;
  for (int i = 0; i < count; ++i) mine[i] = words[i];
  WarpArrive(block, count);
  return all;
}

void AddAsyncCopy(void* to, const void* source, int source_bytes) {
  Running().running->copies.push_back({to, source, source_bytes});
}

void CommitAsyncCopies() {
  Thread& self = *Running().running;
  self.groups.push_back(self.copies.size());
}

bool NextAsyncCopy(int pending_groups, AsyncCopy* copy) {
  Thread& self = *Running().running;
  const int complete = static_cast<int>(self.groups.size()) - pending_groups;
  if (complete <= 0 || self.copied == self.groups[complete - 1]) return false;
  *copy = self.copies[self.copied++];
  return true;
}

void Fail(const char* what) {
  std::fprintf(stderr, "CUDA shim: %s", what);
  if (current != nullptr && current->running != nullptr) {
    const Position& at = current->running->position;
    std::fprintf(stderr, " (block %u %u %u, thread %u %u %u)", at.block.x, at.block.y, at.block.z,
                 at.thread.x, at.thread.y, at.thread.z);
  }
  std::fprintf(stderr, "\n");
  std::abort();
}

}  // namespace cuda_shim
