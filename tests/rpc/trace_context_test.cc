#include "server/rpc/trace_context.h"

#include <gtest/gtest.h>

namespace tome {
namespace {

TEST(TraceContextTest, ATraceparentHoldsTheTraceId) {
  EXPECT_EQ(TraceIdOf("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            "4bf92f3577b34da6a3ce929d0e0e4736");
}

TEST(TraceContextTest, ALaterVersionMayAppendMore) {
  EXPECT_EQ(TraceIdOf("01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more"),
            "4bf92f3577b34da6a3ce929d0e0e4736");
}

TEST(TraceContextTest, WhatTheStandardForbidsHasNoTraceId) {
  for (const char* traceparent : {
           "",
           "4bf92f3577b34da6a3ce929d0e0e4736",
           "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
           "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e473-00f067aa0ba902b7-01",
           "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
           "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-1\n",
       }) {
    EXPECT_EQ(TraceIdOf(traceparent), "") << traceparent;
  }
}

}  // namespace
}  // namespace tome
