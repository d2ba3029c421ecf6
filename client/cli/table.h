#ifndef TOME_CLIENT_CLI_TABLE_H_
#define TOME_CLIENT_CLI_TABLE_H_

#include <string>
#include <vector>

namespace tome::client {

// Text in columns as wide as their widest cell, two spaces apart.
class Table {
 public:
  enum class Align { kLeft, kRight };
  struct Column {
    std::string name;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns);

  // REQUIRES: one cell a column.
  void AddRow(std::vector<std::string> cells);

  // The columns' names, then the rows; each line with its newline and no space before it.
  std::string ToString() const;

 private:
  const std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_TABLE_H_
