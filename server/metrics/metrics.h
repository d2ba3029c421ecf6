#ifndef TOME_SERVER_METRICS_METRICS_H_
#define TOME_SERVER_METRICS_METRICS_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"

namespace prometheus {
class Registry;
}

namespace tome {

enum class Method { kEmbed, kEmbedBatch, kEmbedStream, kListModels, kGetModel };
enum class Stage { kDecode, kPreprocess, kQueue, kCompute, kEncode };
enum class DropReason { kCancelled, kExpired, kFull };
enum class ServerState { kStarting, kServing, kDraining };

// Every metric's name, help, labels and buckets, once (metrics.cc). Thread-safe, and cheap enough
// for each request: no look-up by label strings after construction of a method's or model's
// handles.
class Metrics {
 public:
  // The facts that label model_info.
  struct ModelInfo {
    std::string architecture, dtype, device, weights_digest;
  };

  // All label sets that are known by then exist from here on, at 0.
  Metrics();
  ~Metrics();
  Metrics(const Metrics&) = delete;
  Metrics& operator=(const Metrics&) = delete;

  // Makes the label sets of a loaded model, at 0. Metrics of images name only models added here:
  // the name that a client sent never becomes a label. Call again for a new version: only
  // model_info changes.
  void AddModel(absl::string_view model, const ModelInfo& info);
  // A changed model was loaded again, and replaced or not.
  void ModelReloaded(absl::string_view model, bool replaced);

  // server_state is 1 for `state` and 0 for the others. kStarting from construction on.
  void SetServerState(ServerState state);

  // One a call: started when it arrives, finished when its status is known. After a quiet moment
  // requests_started_total equals the sum of requests_total over codes.
  void RequestStarted(Method method);
  void RequestFinished(Method method, absl::StatusCode code, absl::Duration duration);

  // One an image, with the status it ended in. A model that was not added is not counted.
  void ImagesFinished(absl::string_view model, absl::StatusCode code, int images = 1);
  void ObserveStage(absl::string_view model, Stage stage, absl::Duration duration);
  // What merging did to one embedded image: tokens before the first block and those merged away.
  // REQUIRES: tokens_in > 0.
  void ObserveMerging(absl::string_view model, int tokens_in, int tokens_merged);
  // What the model's profile expects of one embedded image: its mean cosine to r = 0.
  void ObserveExpectedFidelity(absl::string_view model, double fidelity);

  void ObserveBatch(int images, int tokens);
  // Makes a device's label sets, at 0: passes and copies for a GPU only.
  void AddDevice(absl::string_view device);
  // `device` is one that was added, itself or with a model.
  void EngineBusy(absl::string_view device, absl::Duration duration);
  // Passes that ran as a graph and those that did not, and the device's time of copying pixels in.
  void EnginePasses(absl::string_view device, uint64_t graph, uint64_t eager, absl::Duration copy);
  // Shown as lost for as long as the process lives.
  void DeviceLost(absl::string_view device);

  // Images waiting for a batch; images admitted and not yet answered.
  void AddQueueImages(int delta);
  void AddInflightImages(int delta);

  void ImagesDropped(DropReason reason, int images = 1);

  // For the exposer.
  std::shared_ptr<prometheus::Registry> registry() const;

 private:
  struct Families;
  const std::unique_ptr<Families> families_;
};

// "OK", "INVALID_ARGUMENT", ...: the names that gRPC documents, as the label `code` carries them.
absl::string_view StatusCodeName(absl::StatusCode code);

}  // namespace tome

#endif  // TOME_SERVER_METRICS_METRICS_H_
