#ifndef TOME_CLIENT_CLI_EVALUATION_REPORT_H_
#define TOME_CLIENT_CLI_EVALUATION_REPORT_H_

#include <string>
#include <vector>

#include "client/cli/ladder.h"

namespace tome::client {

// A picture's merge maps, one a rung, as PNG files' bytes.
struct PictureMaps {
  std::string file;
  std::vector<std::string> png_of_rung;
};

// A row a rung, for a terminal.
std::string EvaluationTable(const Ladder& ladder);

// The same with a header, for a program.
std::string EvaluationCsv(const Ladder& ladder);

// One page that needs nothing beside it: the table, fidelity against r, accuracy (or, without
// labels, neighbour recall) against speed, and the merge maps.
std::string EvaluationHtml(const Ladder& ladder, const std::vector<PictureMaps>& maps);

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_EVALUATION_REPORT_H_
