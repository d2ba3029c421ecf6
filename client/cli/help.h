#ifndef TOME_CLIENT_CLI_HELP_H_
#define TOME_CLIENT_CLI_HELP_H_

// What --help says below the options: of `tome`, and of each of its commands.

namespace tome::client {

inline constexpr char kProgramHelp[] = R"(
Examples:
  tome health
  tome models
  tome embed photos --r 8 --out photos.npy
  tome search cat.jpg --in photos.npy
  tome compare cat.jpg --r 0,4,8,13,16
  tome map cat.jpg --r 8 --out map.png
  tome bench photos --rate 20
  tome --server embed.example:443 --tls --token-file token embed cat.jpg

Exit code: 0 all done, 1 some failed (or the server refused, or is not serving), 2 wrong command
line, 3 no server answered, 130 interrupted.)";

inline constexpr char kEmbedHelp[] = R"(
Without --out the rows go to standard output, as to a .jsonl file.

  .npy    float32 [rows, dimensions]; row i is of the picture in line i of FILE.npy.paths.txt
  .jsonl  an object a line: path, merged_per_block, tokens_in, tokens_out, gflops, times, vector

Rows are in the order of the files. A file that fails has no row; it is listed at the end, and the
exit code is 1. Ctrl-C writes what is there and ends; pressed again it kills. Either way --resume
goes on where the rows end, and tries what failed again. FILE.run.json tells how the rows were
made: what would make others is refused.

Examples:
  tome embed cat.jpg                                   one vector, the server's default r
  tome embed photos --recursive --r 8 --out photos.npy
  tome embed photos --recursive --r 8 --out photos.npy --resume
  tome embed photos --linear 16:-1 --out photos.jsonl  many merges early, none at the end
  tome embed photos --r 13 --dtype int8 --dimensions 128 --out small.npy

Options of every command, such as --server and --timeout: tome --help)";

inline constexpr char kSearchHelp[] = R"(
The query is embedded as FILE.npy.run.json says the rows were: of the same weights, at the same r.

Examples:
  tome search cat.jpg --in photos.npy
  tome --json search cat.jpg --in photos.npy --top 100

Options of every command, such as --server and --timeout: tome --help)";

inline constexpr char kCompareHelp[] = R"(
One picture at a time, so that the times are those of a batch of one. The cosine is to the same
picture's embedding at r = 0, which is always embedded.

Examples:
  tome compare photos
  tome compare cat.jpg dog.jpg --r 4,8,12,16 --repeat 5
  tome --json compare photos --r 8

Options of every command, such as --server and --timeout: tome --help)";

inline constexpr char kMapHelp[] = R"(
The picture as the model sees it, each group of merged patches in the mean colour of its pixels and
with a line of its own around it.

Examples:
  tome map cat.jpg --r 8 --out map.png
  tome map cat.jpg --r 8 --block 4 --out early.png       as it is after the fourth block
  tome map cat.jpg --linear 16:-1 --out decreasing.png

Options of every command, such as --server and --timeout: tome --help)";

inline constexpr char kEvaluateHelp[] = R"(
For each schedule: tokens left, FLOPs at r = 0 by those at the schedule, images/s over the socket,
latency of single calls, cosine to the embedding at r = 0 (mean, 5th percentile, and the mean after
the embeddings' common mean was taken away, without which it flatters), and of each picture's nearest
other picture and its ten nearest at r = 0 the share that are so at the schedule. With labels also
how often a picture's nearest other one has its label.

Examples:
  tome evaluate --images photos
  tome evaluate --images photos --labels folders --r 0,4,8,12 --linear 8:-1 --html report.html
  tome evaluate --model models/vit-s16 --images photos    whatever the server calls these weights
  tome --json evaluate --images photos --csv table.csv

Options of every command, such as --server and --timeout: tome --help)";

inline constexpr char kCalibrateHelp[] = R"(
Measures as evaluate does, and writes what the server needs to tell how near an embedding at r is to
the exact one. Written beside the checkpoint, the server takes it at its next start, or when it looks
for new versions. It belongs to these weights: with others the server refuses it.

Examples:
  tome calibrate --model models/vit-s16 --images photos    writes models/vit-s16/profile.json
  tome calibrate --images photos --r 0,4,8,12,16,20,24 --out profile.json

Options of every command, such as --server and --timeout: tome --help)";

inline constexpr char kBenchHelp[] = R"(
The pictures are read once and sent in turn, and nothing is retried. With --concurrency the next one
is sent when one is answered (closed loop: what does the server reach?). With --rate they are due at
random times, however slow the answers are, and latency counts from the time at which a picture was
due (open loop: what does a user wait at this load?).

After the warm-up come windows of time. The run ends as soon as the last three are alike within 10%
(their rate in a closed loop, their median latency in an open one), or after --max-duration. What is
shown is of the last three. Percentiles are of all their latencies; "-" where those are too few.

Exit code: 0 measured, 1 nothing was embedded, 3 no server answered, 130 interrupted.

Examples:
  tome bench photos                                          8 at once
  tome bench photos --concurrency 1 --r 0                    what one picture takes
  tome bench photos --rate 20 --r 0:0.5,8:0.3,16:0.2         20 a second, r drawn by weights
  tome bench photos --rate 20 --window 20s --max-duration 5m --out load.json

Options of every command, such as --server and --timeout: tome --help)";

inline constexpr char kModelsHelp[] = R"(
Examples:
  tome models               one line a model
  tome models vit-s16       all facts of one, and what one call may bring
  tome --json models        for a program

Options of every command, such as --server: tome --help)";

inline constexpr char kHealthHelp[] = R"(
Exit code: 0 serving, 1 not serving or not known, 3 no answer.

Examples:
  tome health
  tome --timeout 1s health && echo ready
  tome health --service ""      the server as a whole

Options of every command, such as --server: tome --help)";

inline constexpr char kCompletionHelp[] = R"(
Examples:
  source <(tome completion bash)                                       in ~/.bashrc
  source <(tome completion zsh)                                        in ~/.zshrc, after compinit
  tome completion fish >~/.config/fish/completions/tome.fish)";

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_HELP_H_
