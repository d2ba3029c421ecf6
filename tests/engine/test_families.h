#ifndef TOME_TESTS_ENGINE_TEST_FAMILIES_H_
#define TOME_TESTS_ENGINE_TEST_FAMILIES_H_

#include <string>
#include <vector>

#include "tests/model/test_checkpoint.h"

namespace tome {

struct TestFamily {
  std::string name;
  TestCheckpoint checkpoint;
};

// TestCheckpoint's small model as each family that is served has it: together they use every part
// that a checkpoint can have.
std::vector<TestFamily> TestFamilies();

// A ViT-B/16 at 224 pixels of seeded weights.
TestCheckpoint VitB16();

}  // namespace tome

#endif  // TOME_TESTS_ENGINE_TEST_FAMILIES_H_
