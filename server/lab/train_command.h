#ifndef TOME_SERVER_LAB_TRAIN_COMMAND_H_
#define TOME_SERVER_LAB_TRAIN_COMMAND_H_

#include <cstdint>
#include <string>

#include "absl/status/status.h"

#include "server/lab/safetensors_writer.h"
#include "server/lab/training.h"

namespace tome {

// `tome-lab train`, as its options say.
struct TrainCommand {
  std::string from;     // checkpoint directory
  std::string images;   // folder
  std::string out;      // checkpoint directory
  std::string teacher;  // checkpoint directory; empty: the model itself
  TrainingOptions training;
  std::string device = "cpu";
  int threads = 1;
  int64_t memory_mib = 4096;
  int save_seconds = 60;
  StoredFloat stored = StoredFloat::kFloat32;
  bool resume = false;
};

// Trains, and writes into `out`: the checkpoint, curves.csv, and until the last step
// training_state.safetensors, from which --resume goes on; what is trained already it leaves as it
// is. All of it is written every `save_seconds`, at the end, and when SIGTERM or SIGINT asks to
// stop; each file at once. Progress goes to standard output. CANCELLED after such a signal,
// ALREADY_EXISTS where `out` holds another run's work and nothing asks to resume.
absl::Status RunTrain(const TrainCommand& command);

}  // namespace tome

#endif  // TOME_SERVER_LAB_TRAIN_COMMAND_H_
