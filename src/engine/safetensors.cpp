#include "safetensors.h"

#include "json.h"

#include <algorithm>
#include <cstring>

namespace attentive {

namespace {

struct TypeInfo {
  const char *name;
  SafetensorsType type;
  Index width;
};

constexpr TypeInfo kTypes[] = {
    {"F64", SafetensorsType::F64, 8}, {"F32", SafetensorsType::F32, 4},
    {"F16", SafetensorsType::F16, 2}, {"BF16", SafetensorsType::BF16, 2},
    {"I64", SafetensorsType::I64, 8}, {"I32", SafetensorsType::I32, 4},
    {"I16", SafetensorsType::I16, 2}, {"I8", SafetensorsType::I8, 1},
    {"U8", SafetensorsType::U8, 1},   {"BOOL", SafetensorsType::BOOL, 1},
};

// A name from the file, short enough for a message.
std::string quoted(const std::string &name) {
  constexpr std::size_t kLongest = 60;
  if (name.size() <= kLongest)
    return '"' + name + '"';
  std::size_t cut = kLongest;
  while (cut > 0 && (static_cast<unsigned char>(name[cut]) & 0xC0) == 0x80)
    --cut; // not within a character
  return '"' + name.substr(0, cut) + "...\"";
}

std::uint64_t little_endian(const unsigned char *bytes, Index width) {
  std::uint64_t value = 0;
  for (Index i = width; i-- > 0;)
    value = (value << 8) | bytes[i];
  return value;
}

template <class To, class From> To bit_copy(From from) {
  static_assert(sizeof(To) == sizeof(From), "the sizes must agree");
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

double from_float32(std::uint32_t bits) { return bit_copy<float>(bits); }

double from_float16(std::uint32_t half) {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1Fu;
  const std::uint32_t fraction = half & 0x3FFu;
  if (exponent == 31) // infinity and NaN
    return from_float32(sign | 0x7F800000u | (fraction << 13));
  if (exponent == 0) { // zero and subnormal numbers: fraction * 2^-24
    const double size = fraction / 16777216.0;
    return sign != 0 ? -size : size;
  }
  return from_float32(sign | ((exponent + 112) << 23) | (fraction << 13));
}

double from_int64(std::uint64_t bits, const SafetensorsEntry &entry) {
  const auto value = bit_copy<std::int64_t>(bits);
  constexpr std::int64_t kExact = std::int64_t{1} << 53;
  if (value > kExact || value < -kExact)
    throw SafetensorsError("tensor " + quoted(entry.name) +
                           " holds a whole number beyond 2^53, which a double cannot hold exactly");
  return static_cast<double>(value);
}

double decode(const unsigned char *bytes, const SafetensorsEntry &entry) {
  switch (entry.type) {
  case SafetensorsType::F64:
    return bit_copy<double>(little_endian(bytes, 8));
  case SafetensorsType::F32:
    return from_float32(static_cast<std::uint32_t>(little_endian(bytes, 4)));
  case SafetensorsType::F16:
    return from_float16(static_cast<std::uint32_t>(little_endian(bytes, 2)));
  case SafetensorsType::BF16: // the upper half of a float32
    return from_float32(static_cast<std::uint32_t>(little_endian(bytes, 2)) << 16);
  case SafetensorsType::I64:
    return from_int64(little_endian(bytes, 8), entry);
  case SafetensorsType::I32:
    return bit_copy<std::int32_t>(static_cast<std::uint32_t>(little_endian(bytes, 4)));
  case SafetensorsType::I16:
    return bit_copy<std::int16_t>(static_cast<std::uint16_t>(little_endian(bytes, 2)));
  case SafetensorsType::I8:
    return bit_copy<std::int8_t>(bytes[0]);
  case SafetensorsType::U8:
    return bytes[0];
  case SafetensorsType::BOOL:
    break;
  }
  if (bytes[0] > 1)
    throw SafetensorsError("tensor " + quoted(entry.name) +
                           " holds a truth value that is neither 0 nor 1");
  return bytes[0];
}

void read_exactly(std::istream &in, char *to, std::int64_t size) {
  if (!in.read(to, static_cast<std::streamsize>(size)))
    throw SafetensorsError("the file ends early or cannot be read");
}

std::int64_t stream_size(std::istream &in) {
  in.clear();
  in.seekg(0, std::ios::end);
  const std::streamoff size = in ? static_cast<std::streamoff>(in.tellg()) : -1;
  in.seekg(0, std::ios::beg);
  if (size < 0 || !in)
    throw SafetensorsError("the file cannot be read");
  return size;
}

SafetensorsType parse_type(const std::string &text, const std::string &tensor) {
  for (const TypeInfo &known : kTypes)
    if (text == known.name)
      return known.type;
  throw SafetensorsError("tensor " + quoted(tensor) + " has the unknown dtype " + quoted(text));
}

// The bytes that the shape asks for must be those between the offsets.
void check_size(SafetensorsEntry &entry) {
  const std::string who = "tensor " + quoted(entry.name);
  if (entry.begin > entry.end)
    throw SafetensorsError(who + " ends before it begins");
  Index bytes = 0;
  try {
    entry.count = 1;
    for (const std::int64_t size : entry.shape)
      entry.count = checked_product(static_cast<Index>(entry.count), static_cast<Index>(size));
    bytes = checked_product(static_cast<Index>(entry.count), safetensors_width(entry.type));
  } catch (const std::length_error &) {
    throw SafetensorsError(who + " has a shape larger than any file");
  }
  if (bytes != entry.end - entry.begin)
    throw SafetensorsError(who + " needs " + std::to_string(bytes) +
                           " bytes for its shape, but its offsets span " +
                           std::to_string(entry.end - entry.begin));
}

SafetensorsEntry parse_entry(JsonReader &json, const std::string &name) {
  SafetensorsEntry entry;
  entry.name = name;
  bool has_type = false, has_shape = false, has_offsets = false;
  const auto once = [&name](bool &seen, const char *field) {
    if (seen)
      throw SafetensorsError("tensor " + quoted(name) + " has two fields \"" + field + '"');
    seen = true;
  };
  json.object([&](const std::string &field) {
    if (field == "dtype") {
      once(has_type, "dtype");
      entry.type = parse_type(json.string(), name);
    } else if (field == "shape") {
      once(has_shape, "shape");
      json.array([&] { entry.shape.push_back(json.natural()); });
      if (entry.shape.size() > kSafetensorsMaxRank)
        throw SafetensorsError("tensor " + quoted(name) + " has more than " +
                               std::to_string(kSafetensorsMaxRank) + " axes");
    } else if (field == "data_offsets") {
      once(has_offsets, "data_offsets");
      std::vector<std::int64_t> offsets;
      json.array([&] { offsets.push_back(json.natural()); });
      if (offsets.size() != 2)
        throw SafetensorsError("tensor " + quoted(name) + " must have two data_offsets, not " +
                               std::to_string(offsets.size()));
      entry.begin = offsets[0];
      entry.end = offsets[1];
    } else {
      json.skip(); // the format's own library ignores further fields
    }
  });
  if (!has_type || !has_shape || !has_offsets)
    throw SafetensorsError("tensor " + quoted(name) + " lacks its " +
                           (!has_type    ? "dtype"
                            : !has_shape ? "shape"
                                         : "data_offsets"));
  check_size(entry);
  return entry;
}

void refuse_duplicates(std::vector<std::string> names, const char *what) {
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end())
    throw SafetensorsError(std::string("there are two ") + what + " named " + quoted(*twice));
}

void parse_header(const std::string &text, SafetensorsHeader &header) {
  JsonReader json(text.data(), static_cast<Index>(text.size()));
  bool has_metadata = false;
  json.object([&](const std::string &name) {
    if (name != "__metadata__") {
      header.tensors.push_back(parse_entry(json, name));
      return;
    }
    if (has_metadata)
      throw SafetensorsError("there are two __metadata__ fields");
    has_metadata = true;
    json.object([&](const std::string &key) { header.metadata.emplace_back(key, json.string()); });
  });
  json.finish();

  std::vector<std::string> names, keys;
  for (const SafetensorsEntry &entry : header.tensors)
    names.push_back(entry.name);
  for (const auto &pair : header.metadata)
    keys.push_back(pair.first);
  refuse_duplicates(std::move(names), "tensors");
  refuse_duplicates(std::move(keys), "metadata fields");
}

// In file order the tensors must cover the numbers without a gap, an overlap
// or a rest: hidden bytes and shared bytes are how such files are abused.
void check_cover(SafetensorsHeader &header, std::int64_t data_size) {
  std::stable_sort(header.tensors.begin(), header.tensors.end(),
                   [](const SafetensorsEntry &a, const SafetensorsEntry &b) {
                     return a.begin != b.begin ? a.begin < b.begin : a.end < b.end;
                   });
  std::int64_t covered = 0;
  for (const SafetensorsEntry &entry : header.tensors) {
    const std::string who = "tensor " + quoted(entry.name);
    if (entry.end > data_size)
      throw SafetensorsError(who + " ends at byte " + std::to_string(entry.end) +
                             ", but the file holds " + std::to_string(data_size) +
                             " bytes of numbers");
    if (entry.begin < covered)
      throw SafetensorsError(who + " overlaps another one");
    if (entry.begin > covered)
      throw SafetensorsError("there is a gap in front of " + who);
    covered = entry.end;
  }
  if (covered != data_size)
    throw SafetensorsError("the file has " + std::to_string(data_size - covered) +
                           " bytes that belong to no tensor");
}

} // namespace

Index safetensors_width(SafetensorsType type) {
  for (const TypeInfo &known : kTypes)
    if (known.type == type)
      return known.width;
  return 1;
}

SafetensorsHeader read_safetensors_header(std::istream &in) {
  const std::int64_t file_size = stream_size(in);
  if (file_size < 8)
    throw SafetensorsError("the file has " + std::to_string(file_size) +
                           " bytes, too few for a header");
  unsigned char length_bytes[8];
  read_exactly(in, reinterpret_cast<char *>(length_bytes), 8);
  const std::uint64_t length = little_endian(length_bytes, 8);
  if (length > static_cast<std::uint64_t>(file_size - 8))
    throw SafetensorsError("the header claims " + std::to_string(length) +
                           " bytes, but only " + std::to_string(file_size - 8) + " follow");
  if (length > static_cast<std::uint64_t>(kSafetensorsMaxHeader))
    throw SafetensorsError("the header is larger than " +
                           std::to_string(kSafetensorsMaxHeader / 1000000) + " MB");

  std::string text(static_cast<std::size_t>(length), '\0');
  read_exactly(in, &text[0], static_cast<std::int64_t>(length));
  if (text.empty() || text[0] != '{')
    throw SafetensorsError("the header does not begin with '{'");

  SafetensorsHeader header;
  header.data_start = 8 + static_cast<std::int64_t>(length);
  try {
    parse_header(text, header);
  } catch (const JsonError &e) {
    throw SafetensorsError(std::string("the header is not the JSON it should be: ") + e.what());
  }
  check_cover(header, file_size - header.data_start);
  return header;
}

void read_safetensors_values(std::istream &in, const SafetensorsHeader &header,
                             const SafetensorsEntry &entry, double *out,
                             const Execution &execution) {
  if (entry.count == 0)
    return;
  in.clear();
  in.seekg(static_cast<std::streamoff>(header.data_start + entry.begin));

  // `place` walks through the axes in the file's order, the last one fastest;
  // `target` is its index in `out`, where the first axis varies fastest.
  const std::size_t rank = entry.shape.size();
  std::vector<std::int64_t> place(rank, 0), stride(rank, 1);
  for (std::size_t axis = 1; axis < rank; ++axis)
    stride[axis] = stride[axis - 1] * entry.shape[axis - 1];
  std::int64_t target = 0;

  constexpr std::int64_t kBlock = 8192; // numbers a read
  const Index width = safetensors_width(entry.type);
  std::vector<unsigned char> block(static_cast<std::size_t>(std::min(kBlock, entry.count) * width));
  for_in_order(static_cast<Index>((entry.count + kBlock - 1) / kBlock), execution, [&](Index at) {
    const std::int64_t done = at * kBlock;
    const std::int64_t count = std::min(kBlock, entry.count - done);
    read_exactly(in, reinterpret_cast<char *>(block.data()), count * width);
    for (std::int64_t i = 0; i < count; ++i) {
      out[target] = decode(block.data() + i * width, entry);
      for (std::size_t axis = rank; axis-- > 0;) {
        target += stride[axis];
        if (++place[axis] < entry.shape[axis])
          break;
        target -= stride[axis] * entry.shape[axis];
        place[axis] = 0;
      }
    }
  });
}

} // namespace attentive
