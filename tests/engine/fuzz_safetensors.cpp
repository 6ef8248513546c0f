// Throws bytes at the safetensors reader. Whatever they are, it must end in
// values or in a SafetensorsError; the sanitizers watch the rest.
//   clang++ -std=c++17 -g -fsanitize=fuzzer,address,undefined -Isrc/engine
//     tests/engine/fuzz_safetensors.cpp src/engine/safetensors.cpp src/engine/json.cpp
// Without libFuzzer, -DATTENTIVE_FUZZ_MAIN adds a simple mutating loop:
//   ./fuzz ROUNDS SEED FILE...
#include "safetensors.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t *data, std::size_t size) {
  std::istringstream in(std::string(reinterpret_cast<const char *>(data), size));
  try {
    const attentive::SafetensorsHeader header = attentive::read_safetensors_header(in);
    for (const attentive::SafetensorsEntry &entry : header.tensors) {
      if (entry.count > static_cast<std::int64_t>(size))
        std::abort(); // more numbers than bytes: the checks let a lie through
      std::vector<double> values(static_cast<std::size_t>(entry.count));
      attentive::read_safetensors_values(in, header, entry, values.data());
    }
  } catch (const attentive::SafetensorsError &) {
  }
  return 0;
}

#ifdef ATTENTIVE_FUZZ_MAIN
#include <fstream>
#include <random>

namespace {

using Bytes = std::vector<std::uint8_t>;

Bytes read_bytes(const char *path) {
  std::ifstream in(path, std::ios::binary);
  return Bytes(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
}

void mutate(Bytes &bytes, std::mt19937_64 &random) {
  static const char kAlphabet[] = "{}[]\":,\\0123456789u-.eFIUBO ";
  const auto below = [&random](std::size_t n) { return static_cast<std::size_t>(random() % n); };
  for (std::size_t edits = 1 + below(4); edits-- > 0 && !bytes.empty();) {
    const std::size_t at = below(bytes.size());
    const auto place = bytes.begin() + static_cast<std::ptrdiff_t>(at);
    const auto letter = static_cast<std::uint8_t>(kAlphabet[below(sizeof kAlphabet - 1)]);
    switch (below(6)) {
    case 0:
      bytes[at] = static_cast<std::uint8_t>(random());
      break;
    case 1:
      bytes[at] = letter;
      break;
    case 2:
      bytes.insert(place, letter);
      break;
    case 3:
      bytes.erase(place);
      break;
    case 4:
      bytes.resize(at);
      break;
    default: { // repeat a piece
      const std::size_t length = std::min<std::size_t>(1 + below(40), bytes.size() - at);
      const Bytes piece(place, place + static_cast<std::ptrdiff_t>(length));
      bytes.insert(bytes.begin() + static_cast<std::ptrdiff_t>(below(bytes.size())), piece.begin(),
                   piece.end());
    }
    }
  }
}

} // namespace

int main(int argc, char **argv) {
  if (argc < 4) {
    std::fprintf(stderr, "usage: fuzz ROUNDS SEED FILE...\n");
    return 2;
  }
  const long rounds = std::atol(argv[1]);
  std::mt19937_64 random(std::strtoull(argv[2], nullptr, 10));
  std::vector<Bytes> corpus;
  for (int i = 3; i < argc; ++i)
    corpus.push_back(read_bytes(argv[i]));
  for (long round = 0; round < rounds; ++round) {
    Bytes bytes = corpus[static_cast<std::size_t>(random() % corpus.size())];
    mutate(bytes, random);
    LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
  }
  std::printf("%ld inputs, no failure\n", rounds);
  return 0;
}
#endif
