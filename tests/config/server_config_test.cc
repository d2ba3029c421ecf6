#include "server/config/server_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

#include "server/config/options.h"
#include "tests/config/temporary_file.h"

namespace tome {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::StartsWith;

using Strings = std::vector<std::string>;

ServerConfig Parse(const Strings& arguments, const Strings& environment = {}) {
  const auto command_line = ParseCommandLine(arguments, environment);
  if (!command_line.ok()) {
    ADD_FAILURE() << command_line.status();
    return {};
  }
  EXPECT_EQ(command_line->print_and_exit, "");
  return command_line->config;
}

// The one line that stops the server.
std::string ErrorOf(const Strings& arguments, const Strings& environment = {}) {
  const auto command_line = ParseCommandLine(arguments, environment);
  if (command_line.ok()) return "no error";
  EXPECT_EQ(command_line.status().code(), absl::StatusCode::kInvalidArgument)
      << command_line.status();
  const std::string message(command_line.status().message());
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  return message;
}

std::string PrintOf(const Strings& arguments, const Strings& environment = {}) {
  const auto command_line = ParseCommandLine(arguments, environment);
  return command_line.ok() ? command_line->print_and_exit
                           : std::string(command_line.status().message());
}

TEST(ParseCommandLineTest, AModelIsEnoughAndTheRestIsDefault) {
  const ServerConfig config = Parse({"--model", "/models/vit-s16/"}, {"HOME=/root"});

  ASSERT_EQ(config.models.size(), 1u);
  EXPECT_EQ(config.models[0].name, "vit-s16");
  EXPECT_EQ(config.models[0].directory, "/models/vit-s16/");
  EXPECT_EQ(config.models[0].dtype, "auto");
  EXPECT_EQ(config.models[0].default_schedule.PerBlockMerges(2), (std::vector<int>{0, 0}));
  for (const Option& option : Options()) {
    if (option.name != "model") {
      EXPECT_EQ(option.show(config), option.show(ServerConfig()));
    }
  }
}

TEST(ParseCommandLineTest, AFlagBeatsTheEnvironmentWhichBeatsTheFile) {
  const TemporaryFile file(
      "model = \"/m\"\n"
      "max-batch-images = 1\n"
      "max-batch-tokens = 1\n"
      "max-admitted-images = 101\n");
  const Strings environment = {"TOME_MAX_BATCH_IMAGES=2", "TOME_MAX_BATCH_TOKENS=2"};

  const ServerConfig config =
      Parse({"--config", file.path(), "--max-batch-images", "3"}, environment);

  EXPECT_EQ(config.max_batch_images, 3);
  EXPECT_EQ(config.max_batch_tokens, 2);
  EXPECT_EQ(config.max_admitted_images, 101);
}

TEST(ParseCommandLineTest, EveryOptionHasItsFlagItsVariableAndItsKey) {
  for (const Option& option : Options()) {
    if (option.name == "model") continue;
    // A value that differs from the default where the type has a simple one.
    const std::string standard = option.show(ServerConfig());
    std::string value = standard;
    if (option.name == "log-level") value = "debug";
    if (option.name == "log-format") value = "json";
    if (option.name == "dtype") value = "bfloat16";
    if (option.value == "HOST:PORT") value = "[::1]:7";
    if (option.value == "N" || option.name == "default-r") value = "40";
    if (option.value == "DURATION") value = "7s";
    if (option.value == "BYTES") value = "30MiB";
    if (option.value == "FILE") value = "/f";
    if (option.name == "device") value = "cuda:1";
    ASSERT_NE(value, standard) << option.name;
    // What other options have to say for this value to be allowed.
    Strings base = {"--model=/m"};
    if (option.name == "maximum-timeout") base.push_back("--default-timeout=1s");
    if (option.name == "tls-certificate-file") base.push_back("--tls-key-file=/k");
    if (absl::StartsWith(option.name, "tls-") && option.name != "tls-certificate-file") {
      base.push_back("--tls-certificate-file=/c");
    }
    if (option.name == "tls-client-ca-file") base.push_back("--tls-key-file=/k");
    Strings with_flag = base, with_file = base;
    const TemporaryFile file(absl::StrCat(option.name, " = \"", value, "\"\n"));
    with_flag.push_back(absl::StrCat(FlagOf(option.name), "=", value));
    with_file.push_back(absl::StrCat("--config=", file.path()));

    EXPECT_EQ(option.show(Parse(with_flag)), value) << option.name;
    EXPECT_EQ(option.show(Parse(base, {absl::StrCat(EnvironmentOf(option.name), "=", value)})),
              value)
        << option.name;
    EXPECT_EQ(option.show(Parse(with_file)), value) << option.name;
  }
}

TEST(ParseCommandLineTest, TheFileMayBeNamedByTheEnvironmentOrAFlag) {
  const TemporaryFile file("model = [\"a=/a\", \"b=/b\"]\nlisten = \"[::]:1\"\n");

  const ServerConfig config = Parse({}, {"TOME_CONFIG=" + file.path()});

  EXPECT_EQ(config.listen, "[::]:1");
  ASSERT_EQ(config.models.size(), 2u);
  EXPECT_EQ(config.models[1].name, "b");
  EXPECT_EQ(Parse({"--config=" + file.path()}, {"TOME_CONFIG=/nowhere"}).listen, "[::]:1");
  EXPECT_THAT(ErrorOf({"--config", "/nowhere/f.toml"}),
              "config (flag --config): cannot read \"/nowhere/f.toml\": No such file or directory");
  EXPECT_THAT(ErrorOf({}, {"TOME_CONFIG=/"}),
              "config (environment TOME_CONFIG): cannot read \"/\": Is a directory");
}

TEST(ParseCommandLineTest, ModelsOfAStrongerSourceReplaceThoseOfAWeaker) {
  const TemporaryFile file("model = \"c=/c\"\n");
  const std::string config = "--config=" + file.path();
  const Strings environment = {"TOME_MODEL=a=/a,/models/b"};

  const ServerConfig from_environment = Parse({config}, environment);
  const ServerConfig from_flags = Parse({config, "--model", "d=/x=y", "--model=e=/e"}, environment);

  ASSERT_EQ(from_environment.models.size(), 2u);
  EXPECT_EQ(from_environment.models[0].name, "a");
  EXPECT_EQ(from_environment.models[1].name, "b");
  EXPECT_EQ(from_environment.models[1].directory, "/models/b");
  ASSERT_EQ(from_flags.models.size(), 2u);
  EXPECT_EQ(from_flags.models[0].name, "d");
  EXPECT_EQ(from_flags.models[0].directory, "/x=y");
  EXPECT_EQ(from_flags.models[1].name, "e");
}

TEST(ParseCommandLineTest, ASectionServesAModelAndOverridesTheServersSettings) {
  const TemporaryFile file(
      "default-r = 4\n"
      "[model.small]\n"
      "directory = \"/s\"\n"
      "dtype = \"bfloat16\"\n"
      "default-r = \"linear:16:-1\"\n"
      "[model.\"base.v2\"]\n"
      "directory = \"/b\"\n");

  const ServerConfig config = Parse({"--config", file.path()});

  ASSERT_EQ(config.models.size(), 2u);
  EXPECT_EQ(config.models[0].name, "small");
  EXPECT_EQ(config.models[0].directory, "/s");
  EXPECT_EQ(config.models[0].dtype, "bfloat16");
  EXPECT_EQ(config.models[0].default_schedule.PerBlockMerges(2), (std::vector<int>{32, 0}));
  EXPECT_EQ(config.models[1].name, "base.v2");
  EXPECT_EQ(config.models[1].dtype, "auto");
  EXPECT_EQ(config.models[1].default_schedule.PerBlockMerges(2), (std::vector<int>{4, 4}));
}

TEST(ParseCommandLineTest, WithoutAModelTheOneThatComesWithTheProgramIsServed) {
  const auto none = ParseCommandLine({"--check-config"}, {}, "/share/tome/clipart");
  const auto one = ParseCommandLine({"--model=/m"}, {}, "/share/tome/clipart");

  ASSERT_TRUE(none.ok()) << none.status();
  EXPECT_THAT(none->print_and_exit, HasSubstr("[model.\"clipart\"]\n"
                                              "directory = \"/share/tome/clipart\"  # default\n"));
  ASSERT_TRUE(one.ok()) << one.status();
  ASSERT_EQ(one->config.models.size(), 1u);
  EXPECT_EQ(one->config.models[0].directory, "/m");
}

TEST(ParseCommandLineTest, ASectionAlsoSetsAModelThatAFlagNames) {
  const TemporaryFile file(
      "[model.small]\n"
      "directory = \"/from-file\"\n"
      "dtype = \"bfloat16\"\n"
      "[model.other]\n"
      "directory = \"/other\"\n");

  const ServerConfig config = Parse({"--config", file.path(), "--model=small=/from-flag"});

  ASSERT_EQ(config.models.size(), 1u);
  EXPECT_EQ(config.models[0].directory, "/from-flag");
  EXPECT_EQ(config.models[0].dtype, "bfloat16");
}

TEST(ParseCommandLineTest, AnEmptyValueOfAFlagIsAValue) {
  EXPECT_EQ(Parse({"--metrics-listen=", "--model=/m"}).metrics_listen, "");
  EXPECT_EQ(Parse({"--metrics-listen", "", "--model=/m"}).metrics_listen, "");
  EXPECT_EQ(Parse({"--model=/m"}, {"TOME_METRICS_LISTEN="}).metrics_listen, "");
}

TEST(ParseCommandLineTest, WhatNoOptionIsStopsTheServerAndSuggestsOne) {
  const TemporaryFile key("lisen = \"[::]:1\"\n");

  EXPECT_EQ(ErrorOf({"--lisen=[::]:1", "--model=/m"}),
            "\"--lisen=[::]:1\" is no flag; did you mean --listen?; --help lists the flags");
  EXPECT_EQ(ErrorOf({"/m"}), "\"/m\" is no flag; --help lists the flags");
  EXPECT_EQ(ErrorOf({"--model=/m"}, {"TOME_LISEN=[::]:1"}),
            "TOME_LISEN (environment): no such option; did you mean TOME_LISTEN?");
  EXPECT_EQ(ErrorOf({"--model=/m", "--config", key.path()}),
            absl::StrCat("lisen (", key.path(), ":1): no such key; did you mean listen?"));
}

TEST(ParseCommandLineTest, AnUnknownSectionOrKeyOfASectionStopsTheServer) {
  const auto error_of_file = [](absl::string_view text) {
    const TemporaryFile file(text);
    const std::string error = ErrorOf({"--config", file.path()});
    return absl::StartsWith(error, file.path()) ? error.substr(file.path().size()) : error;
  };

  EXPECT_THAT(error_of_file("[server]\nlisten = \"[::]:1\"\n"),
              MatchesRegex("\\[server\\] \\(.*:1\\): no such section, use \\[model.NAME\\].*"));
  EXPECT_THAT(error_of_file("[model.a.b]\ndirectory = \"/a\"\n"), HasSubstr("no such section"));
  EXPECT_THAT(error_of_file("[model.a]\n"), HasSubstr("[model.a]"));
  EXPECT_THAT(error_of_file("[model.a]\ndirectory = \"/a\"\ndtyp = \"float32\"\n"),
              MatchesRegex("model\\.a\\.dtyp \\(.*:3\\): no such key; did you mean dtype\\?; a "
                           "model has directory, dtype, default-r, max-admitted-images"));
  EXPECT_THAT(error_of_file("[model.a]\ndirectory = \"/a\"\ndtype = \"int4\"\n"),
              MatchesRegex("model\\.a\\.dtype \\(.*:3\\): \"int4\" is not a dtype, .*"));
  EXPECT_THAT(error_of_file("[model.\"a b\"]\ndirectory = \"/a\"\n"),
              HasSubstr("\"a b\" is not a model name"));
  EXPECT_THAT(error_of_file("[model.a]\ndirectory = \"\"\n"), HasSubstr("is not a directory"));
  EXPECT_THAT(error_of_file("model = \"/b\"\n[model.a]\ndtype = \"float32\"\n"),
              HasSubstr("cannot redefine existing string 'model.a' as table"));
  EXPECT_THAT(error_of_file("[model.a]\ndtype = \"float32\"\n[model.b]\ndirectory = \"/b\"\n"),
              MatchesRegex("\\[model\\.a\\] \\(.*:1\\): no model has this name, .*"));
  EXPECT_THAT(error_of_file("listen\n"), StartsWith(":1: "));
  EXPECT_THAT(error_of_file("\ndtype = 1.5\n"),
              MatchesRegex("dtype \\(.*:2\\): 1.5 is not a whole number or text .*"));
  EXPECT_THAT(error_of_file("listen = []\n"),
              MatchesRegex("listen \\(.*:1\\): is given 0 values, takes one"));
}

TEST(ParseCommandLineTest, AnErrorNamesOptionSourceValueAndWhatIsAllowed) {
  const TemporaryFile file("\nmax-batch-images = 0\n");
  const std::string problem = "\"0\" is not a whole number from 1 to 65536";

  EXPECT_EQ(ErrorOf({"--model=/m", "--max-batch-images=0"}),
            "max-batch-images (flag --max-batch-images): " + problem);
  EXPECT_EQ(ErrorOf({"--model=/m"}, {"TOME_MAX_BATCH_IMAGES=0"}),
            "max-batch-images (environment TOME_MAX_BATCH_IMAGES): " + problem);
  EXPECT_EQ(ErrorOf({"--model=/m", "--config", file.path()}),
            absl::StrCat("max-batch-images (", file.path(), ":2): ", problem));
  // Also where a stronger source says otherwise.
  EXPECT_THAT(ErrorOf({"--model=/m", "--max-batch-images=1"}, {"TOME_MAX_BATCH_IMAGES=0"}),
              HasSubstr(problem));
}

TEST(ParseCommandLineTest, AFlagTakesOneValueOnce) {
  EXPECT_EQ(ErrorOf({"--model=/m", "--dtype=float32", "--dtype=bfloat16"}),
            "dtype (flag --dtype): is given 2 values, takes one");
  EXPECT_EQ(ErrorOf({"--model=/m", "--listen"}),
            "--listen: 1 required HOST:PORT missing; --help lists the flags");
  EXPECT_THAT(ErrorOf({"--model", "/a", "/b"}), HasSubstr("\"/b\" is no flag"));
  EXPECT_THAT(ErrorOf({"--model=/m", "--config=/a", "--config=/b"}),
              HasSubstr("config (flag --config): is given 2 values"));
}

TEST(ParseCommandLineTest, AValueIsOneLine) {
  EXPECT_EQ(ErrorOf({"--model=/a\nb"}),
            "model (flag --model): \"/a\\nb\" holds a control character");
  EXPECT_EQ(ErrorOf({"--model=/m"}, {"TOME_TLS_KEY_FILE=a\tb"}),
            "tls-key-file (environment TOME_TLS_KEY_FILE): \"a\\tb\" holds a control character");
  EXPECT_THAT(ErrorOf({"--a\nb"}), HasSubstr("--a\\nb"));
}

TEST(ParseCommandLineTest, ModelsShareThePlacesUnlessASectionNamesItsOwnShare) {
  const TemporaryFile file(
      "max-admitted-images = 100\n"
      "max-batch-images = 8\n"
      "[model.a]\n"
      "directory = \"/a\"\n"
      "max-admitted-images = 60\n"
      "[model.b]\n"
      "directory = \"/b\"\n"
      "[model.c]\n"
      "directory = \"/c\"\n");

  const ServerConfig config = Parse({"--config", file.path()});

  ASSERT_EQ(config.models.size(), 3u);
  EXPECT_EQ(config.models[0].max_admitted_images, 60);
  EXPECT_EQ(config.models[1].max_admitted_images, 20);
  EXPECT_EQ(config.models[2].max_admitted_images, 20);
  EXPECT_EQ(Parse({"--model=/m"}).models[0].max_admitted_images, 256);
  EXPECT_EQ(ErrorOf({"--config", file.path(), "--max-admitted-images=61"}),
            "max-admitted-images (flag --max-admitted-images): 61 images leave 1 to 2 models after "
            "what the sections of others take");
}

TEST(ParseCommandLineTest, AModelNeedsADirectoryAndANameOfItsOwn) {
  EXPECT_THAT(ErrorOf({}), MatchesRegex("model: none is given, .*--model .*TOME_MODEL.*"));
  EXPECT_EQ(ErrorOf({"--model=/x/a", "--model=/y/a"}),
            "model (flag --model): two models are named \"a\", from /x/a and /y/a; give one "
            "another name with NAME=DIR");
  EXPECT_THAT(ErrorOf({"--model=a="}), HasSubstr("names no directory"));
  EXPECT_THAT(ErrorOf({"--model="}), HasSubstr("names no directory"));
  EXPECT_THAT(ErrorOf({}, {"TOME_MODEL=/a,"}), HasSubstr("names no directory"));
  EXPECT_THAT(ErrorOf({"--model=."}), HasSubstr("write NAME=."));
  EXPECT_THAT(ErrorOf({"--model=/x/.."}), HasSubstr("write NAME=/x/.."));
  EXPECT_THAT(ErrorOf({"--model=/"}), HasSubstr("write NAME=/"));
  EXPECT_THAT(ErrorOf({"--model=my model=/m"}), HasSubstr("\"my model\" is not a model name"));
}

TEST(ParseCommandLineTest, OptionsThatContradictEachOtherStopTheServer) {
  EXPECT_EQ(ErrorOf({"--model=/m", "--default-timeout=10m"}, {"TOME_MAXIMUM_TIMEOUT=6m"}),
            "default-timeout (flag --default-timeout): 10m is more than maximum-timeout "
            "(environment TOME_MAXIMUM_TIMEOUT), 6m");
  EXPECT_EQ(ErrorOf({"--model=/m", "--max-admitted-images=8"}),
            "max-batch-images (default): 32 is more than max-admitted-images (flag "
            "--max-admitted-images), 8");
  EXPECT_EQ(ErrorOf({"--model=/m", "--max-message-bytes=1MiB"}),
            "max-image-bytes (default): 20MiB is more than max-message-bytes (flag "
            "--max-message-bytes), 1MiB");
  EXPECT_EQ(ErrorOf({"--model=/m", "--tls-key-file=/k"}),
            "tls-key-file (flag --tls-key-file): \"/k\" needs tls-certificate-file, which is not "
            "given");
  EXPECT_THAT(ErrorOf({"--model=/m", "--tls-certificate-file=/c"}),
              HasSubstr("\"/c\" needs tls-key-file"));
  EXPECT_THAT(ErrorOf({"--model=/m", "--tls-client-ca-file=/ca"}),
              HasSubstr("\"/ca\" needs tls-certificate-file"));
  EXPECT_EQ(Parse({"--model=/m", "--default-timeout=5m", "--max-admitted-images=32",
                   "--max-message-bytes=20MiB"})
                .max_admitted_images,
            32);
}

TEST(ParseCommandLineTest, ADeviceOrDtypeThatThereIsNotIsNamed) {
  EXPECT_THAT(ErrorOf({"--model=/m", "--device=tpu"}),
              HasSubstr("\"tpu\" is not a device, use cpu, cuda, cuda:N or cuda:all"));
  for (const std::string device : {"cuda:", "cuda:x", "cuda:-1", "cuda:99999999999"}) {
    EXPECT_THAT(ErrorOf({"--model=/m", "--device=" + device}), HasSubstr("is not a device"));
  }
  EXPECT_EQ(
      ErrorOf({"--model=/m", "--dtype=float16"}),
      "dtype (flag --dtype): \"float16\" needs a GPU, device (default) is cpu, which computes "
      "in float32 or bfloat16");
  for (const std::string device : {"cuda", "cuda:1", "cuda:all"}) {
    EXPECT_TRUE(ParseCommandLine({"--model=/m", "--dtype=float16", "--device=" + device}, {}).ok());
  }
  EXPECT_THAT(ErrorOf({"--model=/m", "--dtype=float64"}),
              HasSubstr("use auto, float32, float16 or bfloat16"));
}

TEST(ParseCommandLineTest, AServicesVariablesOfKubernetesAreExplained) {
  for (const std::string variable :
       {"TOME_PORT=tcp://10.0.0.1:50051", "TOME_SERVICE_HOST=10.0.0.1",
        "TOME_PORT_50051_TCP_ADDR=10.0.0.1", "TOME_SERVER_SERVICE_PORT=50051"}) {
    EXPECT_THAT(ErrorOf({"--model=/m"}, {variable}), HasSubstr("enableServiceLinks: false"));
  }
}

TEST(ParseCommandLineTest, TheClientsVariableIsLeftAlone) {
  EXPECT_EQ(Parse({"--model=/m"}, {"TOME_SERVER=localhost:50051"}).listen, ServerConfig().listen);
  EXPECT_THAT(ErrorOf({"--model=/m"}, {"TOME_SERVERS=x"}), HasSubstr("no such option"));
}

TEST(ParseCommandLineTest, CheckConfigPrintsEachValueWithItsSource) {
  const TemporaryFile file(
      "max-batch-delay = \"2ms\"\n"
      "[model.a]\n"
      "directory = \"/a\"\n"
      "default-r = 8\n");

  const std::string printed = PrintOf(
      {"--check-config", "--config", file.path(), "--dtype=bfloat16"}, {"TOME_LOG_LEVEL=debug"});

  for (const std::string& line :
       {std::string("listen = \"127.0.0.1:50051\"  # default\n"),
        std::string("dtype = \"bfloat16\"  # flag --dtype\n"),
        std::string("log-level = \"debug\"  # environment TOME_LOG_LEVEL\n"),
        absl::StrCat("max-batch-delay = \"2ms\"  # ", file.path(), ":1\n"),
        std::string("max-image-bytes = \"20MiB\"  # default\n"),
        absl::StrCat("[model.\"a\"]\ndirectory = \"/a\"  # ", file.path(), ":3\n",
                     "dtype = \"bfloat16\"  # flag --dtype\n", "default-r = 8  # ", file.path(),
                     ":4\n")}) {
    EXPECT_THAT(printed, HasSubstr(line));
  }
}

TEST(ParseCommandLineTest, WhatCheckConfigPrintsIsAFileThatSaysTheSame) {
  const Strings arguments = {"--model=/models/a",       "--model=b=/models/\"b\" #1",
                             "--max-image-bytes=12345", "--default-r=linear:8:-0.5",
                             "--metrics-listen=",       "--max-batch-delay=1.5ms"};
  Strings with_check = arguments;
  with_check.push_back("--check-config");

  const TemporaryFile file(PrintOf(with_check));

  const ServerConfig original = Parse(arguments);
  const ServerConfig again = Parse({"--config", file.path()});
  for (const Option& option : Options()) {
    EXPECT_EQ(option.show(again), option.show(original)) << option.name;
  }
  ASSERT_EQ(again.models.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    for (const ModelOption& option : ModelOptions()) {
      EXPECT_EQ(option.show(again.models[i]), option.show(original.models[i])) << option.name;
    }
  }
}

TEST(ParseCommandLineTest, CheckConfigStillChecks) {
  EXPECT_THAT(ErrorOf({"--check-config"}), HasSubstr("model: none is given"));
}

TEST(ParseCommandLineTest, HelpTeachesEveryOptionWithDefaultAndVariable) {
  const std::string help = PrintOf({"--help"});

  EXPECT_EQ(PrintOf({"-h"}), help);
  EXPECT_THAT(help, HasSubstr("Usage: tome-server --model [NAME=]DIR"));
  EXPECT_THAT(help, HasSubstr("--config FILE"));
  for (const Option& option : Options()) {
    const std::string standard = option.show(ServerConfig());
    EXPECT_THAT(help, HasSubstr(absl::StrCat(FlagOf(option.name), " ", option.value, " ")));
    EXPECT_THAT(help, HasSubstr(absl::StrCat("[", standard.empty() ? "none" : standard, "; ",
                                             EnvironmentOf(option.name), "]")));
    EXPECT_THAT(help, HasSubstr(absl::StrCat("\n", option.group, ":\n")));
  }
  size_t line_start = 0;
  for (size_t end = 0; (end = help.find('\n', line_start)) != std::string::npos;
       line_start = end + 1) {
    EXPECT_LE(end - line_start, 100u) << help.substr(line_start, end - line_start);
  }
}

TEST(ParseCommandLineTest, VersionIsOneLine) {
  EXPECT_EQ(PrintOf({"--version"}), "tome-server " TOME_VERSION "\n");
}

TEST(ParseCommandLineTest, OtherVariablesAreNotLookedAt) {
  EXPECT_EQ(Parse({"--model=/m"}, {"LISTEN=x", "MY_TOME_LISTEN=x", "TOMES=1", "broken"}).listen,
            ServerConfig().listen);
}

}  // namespace
}  // namespace tome
