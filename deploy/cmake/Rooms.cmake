# How a room, its tests and their warnings are declared. server/README.md names the rooms.

find_package(Threads REQUIRED)
find_package(absl REQUIRED)

# Warnings are errors in our own code; generated code and foreign headers are left alone.
add_library(tome_flags INTERFACE)
set(warnings -Wall -Wextra -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Werror)
target_compile_options(tome_flags INTERFACE
  "$<$<COMPILE_LANGUAGE:CXX>:${warnings}>"
  "$<$<COMPILE_LANGUAGE:CUDA>:-Werror=all-warnings;-Xcompiler=-Wall,-Wextra,-Werror>")
if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
  target_compile_options(tome_flags INTERFACE -Wthread-safety -Wthread-safety-beta)
endif()
if(TOME_SANITIZE)
  # No recovery: a finding fails its test.
  add_compile_options(-fsanitize=${TOME_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${TOME_SANITIZE})
endif()

# tome_room(NAME SOURCES file... [DEPENDS target...] [PRIVATE_DEPENDS target...])
# One static library a room, tome_NAME, its files named from the project's root in every include.
function(tome_room name)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS;PRIVATE_DEPENDS" ${ARGN})
  add_library(tome_${name} STATIC ${ARG_SOURCES})
  target_include_directories(tome_${name} PUBLIC "$<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>")
  target_link_libraries(tome_${name} PUBLIC ${ARG_DEPENDS}
                                    PRIVATE "$<BUILD_INTERFACE:tome_flags>" ${ARG_PRIVATE_DEPENDS})
endfunction()

# tome_test(ROOM SOURCES file... [DEPENDS target...])
# One test program a room, tome_ROOM_test; every case is its own ctest, so that ctest -j spreads them.
function(tome_test room)
  cmake_parse_arguments(ARG "" "" "SOURCES;DEPENDS" ${ARGN})
  add_executable(tome_${room}_test ${ARG_SOURCES})
  target_link_libraries(tome_${room}_test PRIVATE tome_flags ${ARG_DEPENDS} GTest::gmock
                                                  GTest::gtest_main)
  target_compile_definitions(tome_${room}_test
                             PRIVATE TOME_TEST_DATA="${CMAKE_CURRENT_SOURCE_DIR}/testdata")
  # Tests run side by side: OpenMP threads that spin while they wait would take each other's cores.
  gtest_discover_tests(tome_${room}_test TEST_PREFIX "${room}/" DISCOVERY_TIMEOUT 60
                       PROPERTIES TIMEOUT 120 ENVIRONMENT OMP_WAIT_POLICY=passive)
endfunction()
