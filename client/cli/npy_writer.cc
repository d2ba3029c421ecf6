#include "client/cli/npy_writer.h"

#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace tome::client {
namespace {

static_assert(std::endian::native == std::endian::little, "rows are written as they lie in memory");

// Magic, version, length of the text and the text: a multiple of 64 as the format asks, and with
// room for any number of rows.
constexpr size_t kHeaderBytes = 128;
constexpr size_t kPreambleBytes = 10;

absl::Status WriteError(const std::string& file) {
  return absl::UnknownError(absl::StrCat("cannot write ", file, ": ", std::strerror(errno)));
}

}  // namespace

NpyWriter::NpyWriter(std::string file, int columns)
    : file_(std::move(file)),
      columns_(columns),
      values_(file_, std::ios::binary | std::ios::trunc),
      paths_(file_ + ".paths.txt", std::ios::binary | std::ios::trunc) {}

absl::StatusOr<std::unique_ptr<NpyWriter>> NpyWriter::Create(const std::string& file, int columns) {
  std::unique_ptr<NpyWriter> writer(new NpyWriter(file, columns));
  if (!writer->values_.is_open() || !writer->paths_.is_open()) return WriteError(file);
  writer->WriteHeader();
  if (!writer->values_.flush()) return WriteError(file);
  return writer;
}

absl::Status NpyWriter::Write(const std::string& path, const Embedding& embedding) {
  if (embedding.vector.size() != static_cast<size_t>(columns_)) {
    return absl::InvalidArgumentError(absl::StrCat("the vector has ", embedding.vector.size(),
                                                   " dimensions, the file's rows ", columns_));
  }
  if (path.find_first_of("\r\n") != std::string::npos) {
    return absl::InvalidArgumentError(
        "a line break in a path does not fit into the list of paths; write .jsonl instead");
  }
  values_.write(reinterpret_cast<const char*>(embedding.vector.data()),
                static_cast<std::streamsize>(embedding.vector.size() * sizeof(float)));
  paths_ << path << "\n";
  if (!values_.flush() || !paths_.flush()) return WriteError(file_);
  ++rows_;
  return absl::OkStatus();
}

absl::Status NpyWriter::Finish() {
  // After a full disk the rows that did get there can be read.
  values_.clear();
  values_.seekp(0);
  WriteHeader();
  values_.close();
  paths_.close();
  if (!values_ || !paths_) return WriteError(file_);
  return absl::OkStatus();
}

void NpyWriter::WriteHeader() {
  std::string text = absl::StrCat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows_,
                                  ", ", columns_, "), }");
  text.resize(kHeaderBytes - kPreambleBytes - 1, ' ');
  text += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  header += text;
  values_.write(header.data(), static_cast<std::streamsize>(header.size()));
}

}  // namespace tome::client
