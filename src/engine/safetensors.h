// Reader of safetensors files, the format in which model hubs keep weights:
//   8 bytes   length N of the header, little-endian
//   N bytes   JSON: {"name": {"dtype", "shape", "data_offsets"}, ...,
//             "__metadata__": {"key": "text", ...}}
//   the rest  the numbers, little-endian, row-major, without gaps
// No file is trusted: whatever does not add up is a SafetensorsError, and no
// more memory is asked for than the file itself accounts for.
#pragma once

#include "parallel.h"
#include "tensor.h"

#include <cstdint>
#include <istream>
#include <string>
#include <vector>

namespace attentive {

// What is wrong with the file, in a sentence without the closing point.
class SafetensorsError : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

enum class SafetensorsType { F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL };

// One tensor: [begin, end) counts bytes from the end of the header.
struct SafetensorsEntry {
  std::string name;
  SafetensorsType type = SafetensorsType::F32;
  std::vector<std::int64_t> shape;
  std::int64_t count = 0;
  std::int64_t begin = 0;
  std::int64_t end = 0;
};

struct SafetensorsHeader {
  std::vector<SafetensorsEntry> tensors; // in the order of their numbers
  std::vector<std::pair<std::string, std::string>> metadata;
  std::int64_t data_start = 0;
};

// Headers beyond this are refused, as the format's own library does.
constexpr std::int64_t kSafetensorsMaxHeader = 100000000;
constexpr std::size_t kSafetensorsMaxRank = 32;

// Bytes of one number.
Index safetensors_width(SafetensorsType type);

// Reads and checks everything but the numbers. `in` must be seekable.
SafetensorsHeader read_safetensors_header(std::istream &in);

// Writes the numbers of one tensor to out[0 .. entry.count), in column-major
// order: the first axis varies fastest, as in R. Whole numbers that a double
// cannot hold and truth values other than 0 and 1 are errors. On one thread;
// execution says whether it is interrupted.
void read_safetensors_values(std::istream &in, const SafetensorsHeader &header,
                             const SafetensorsEntry &entry, double *out,
                             const Execution &execution = Execution());

} // namespace attentive
