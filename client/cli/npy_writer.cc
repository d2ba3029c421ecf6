#include "client/cli/npy_writer.h"

#include <cerrno>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <utility>

#include "absl/strings/str_cat.h"

#include "client/cli/npy_file.h"

namespace tome::client {
namespace {

absl::Status WriteError(const std::string& file) {
  return absl::UnknownError(absl::StrCat("cannot write ", file, ": ", std::strerror(errno)));
}

}  // namespace

NpyWriter::NpyWriter(std::string file, int columns, std::ios::openmode mode, uint64_t rows)
    : file_(std::move(file)),
      columns_(columns),
      values_(file_, std::ios::binary | std::ios::out | mode),
      paths_(PathsFileOf(file_), std::ios::binary | std::ios::out | mode),
      rows_(rows) {
  values_.seekp(0, std::ios::end);
  paths_.seekp(0, std::ios::end);
}

absl::StatusOr<std::unique_ptr<NpyWriter>> NpyWriter::Create(const std::string& file, int columns) {
  std::unique_ptr<NpyWriter> writer(new NpyWriter(file, columns, std::ios::trunc, 0));
  if (!writer->values_.is_open() || !writer->paths_.is_open()) return WriteError(file);
  writer->WriteHeader();
  if (!writer->values_.flush()) return WriteError(file);
  return writer;
}

absl::StatusOr<std::unique_ptr<NpyWriter>> NpyWriter::Resume(const std::string& file, int columns,
                                                             RowsThere& written) {
  std::ifstream values(file, std::ios::binary);
  const absl::StatusOr<NpyHeader> header = ReadNpyHeader(values, file);
  if (!header.ok()) return header.status();
  if (header->columns != static_cast<uint64_t>(columns)) {
    return absl::InvalidArgumentError(absl::StrCat("the rows in ", file, " have ", header->columns,
                                                   " dimensions, those of this run ", columns));
  }
  const uint64_t row_bytes = header->columns * sizeof(float);
  std::error_code error;
  const uint64_t bytes = std::filesystem::file_size(file, error);
  const uint64_t whole_rows = error ? 0 : (bytes - kNpyHeaderBytes) / row_bytes;
  std::ifstream paths(PathsFileOf(file), std::ios::binary);
  uint64_t path_bytes = 0;
  // A last line without its end is no whole one: getline reaches the end of the file in it.
  for (std::string path;
       written.size() < whole_rows && std::getline(paths, path) && !paths.eof();) {
    path_bytes += path.size() + 1;
    written.Add(path);
  }
  std::filesystem::resize_file(file, kNpyHeaderBytes + written.size() * row_bytes, error);
  if (!error) std::filesystem::resize_file(PathsFileOf(file), path_bytes, error);
  std::unique_ptr<NpyWriter> writer(new NpyWriter(file, columns, std::ios::in, written.size()));
  if (error || !writer->values_.is_open() || !writer->paths_.is_open()) {
    return absl::UnknownError(absl::StrCat("cannot go on with ", file, ": ",
                                           error ? error.message() : std::strerror(errno)));
  }
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
  const std::string header = NpyHeaderBytes({rows_, static_cast<uint64_t>(columns_)});
  values_.write(header.data(), static_cast<std::streamsize>(header.size()));
}

}  // namespace tome::client
