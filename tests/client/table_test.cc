#include "client/cli/table.h"

#include <gtest/gtest.h>

namespace tome::client {
namespace {

TEST(TableTest, AlignsCellsUnderTheirColumnsNames) {
  Table table({{"file"}, {"r", Table::Align::kRight}, {"note"}});
  table.AddRow({"a.jpg", "16", "last"});
  table.AddRow({"long name.jpg", "8", ""});

  EXPECT_EQ(table.ToString(),
            "file            r  note\n"
            "a.jpg          16  last\n"
            "long name.jpg   8\n");
}

TEST(TableTest, CountsLettersNotBytes) {
  Table table({{"file"}, {"r"}});
  table.AddRow({"\xc3\xa9t\xc3\xa9.jpg", "1"});

  EXPECT_EQ(table.ToString(),
            "file     r\n"
            "\xc3\xa9t\xc3\xa9.jpg  1\n");
}

}  // namespace
}  // namespace tome::client
