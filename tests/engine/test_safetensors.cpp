// The safetensors reader and its JSON: every type against numbers whose bits are
// known, the order of the axes, and every way in which a file can be wrong.
#include <cmath>
#include <sstream>

#include "check.h"
#include "interrupt.h"
#include "json.h"
#include "safetensors.h"

using namespace attentive;

namespace {

using Numbers = std::vector<double>;

// What the error says; empty where there is none.
template <class F> std::string complaint(F read) {
  try {
    read();
  } catch (const std::runtime_error &e) {
    return e.what();
  }
  return "";
}

bool says(const std::string &text, const std::string &part) {
  return text.find(part) != std::string::npos;
}

// ---- JSON -----------------------------------------------------------------------

std::string read_string(const std::string &json) {
  JsonReader reader(json.data(), static_cast<Index>(json.size()));
  const std::string text = reader.string();
  reader.finish();
  return text;
}

void test_strings() {
  CHECK(read_string(R"("a\"\\\/\b\f\n\r\t")") == "a\"\\/\b\f\n\r\t");
  CHECK(read_string(R"( "\u0041\u00e9\u20AC\ud83D\uDE00" )") ==
        "A\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  const std::string plain = "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80";
  CHECK(read_string('"' + plain + '"') == plain);
  const auto wrong = [](const std::string &json, const std::string &part) {
    CHECK(says(complaint([&] { read_string(json); }), part));
  };
  for (const char *open : {"\"", "\"a", "\"\\", "\"\\u12"})
    wrong(open, "a string has no end");
  wrong("", "the text ends where '\"' is expected");
  wrong("x", "'\"' is expected at byte 1");
  wrong("\"\\x\"", "unknown escape");
  wrong("\"\\u12g4\"", "not of the form");
  wrong("\"\\u0000\"", "a NUL");
  wrong("\"\n\"", "a control character");
  for (const char *half : {R"("\uDC00")", R"("\uD800")", R"("\uD800\n----")", R"("\uD800\u0041")"})
    wrong(half, "half a surrogate pair");
  // a lone byte, too long a form, a surrogate, a character beyond the last, a cut one
  for (const char *bytes : {"\"\x80\"", "\"\xC0\x80\"", "\"\xE0\x80\x80\"", "\"\xED\xA0\x80\"",
                            "\"\xF4\x90\x80\x80\"", "\"\xC3\"", "\"\xC3(--\""})
    wrong(bytes, "not UTF-8");
  wrong("\"a\" b", "something follows the closing bracket at byte 5");
}

void test_numbers() {
  const auto natural = [](const std::string &json) {
    JsonReader reader(json.data(), static_cast<Index>(json.size()));
    return reader.natural();
  };
  CHECK(natural("0") == 0 && natural(" 120,") == 120);
  CHECK(natural("9223372036854775807") == std::numeric_limits<std::int64_t>::max());
  CHECK(says(complaint([&] { natural("9223372036854775808"); }), "larger than 2^63 - 1"));
  CHECK(says(complaint([&] { natural("-1"); }), "a whole number of at least 0"));
  CHECK(says(complaint([&] { natural("012"); }), "begins with 0"));
  for (const char *broken : {"1.0", "1e3", "1E3"})
    CHECK(says(complaint([&] { natural(broken); }), "not a plain whole number"));
}

void test_skipped() {
  const auto skip = [](const std::string &json) {
    return complaint([&] {
      JsonReader reader(json.data(), static_cast<Index>(json.size()));
      reader.skip();
      reader.finish();
    });
  };
  for (const char *good : {"{}", "[]", "[1, -2.5e+10, 0.5E-3, 7e2]",
                           "{\"a\": [true, false, null], \"b\": {\"c\": \"d\"}}"})
    CHECK(skip(good) == "");
  for (const char *cut : {"-", "1.", "1e", "1e+", "-x"})
    CHECK(says(skip(cut), "a number is incomplete"));
  for (const char *word : {"", "nul", "yes"})
    CHECK(says(skip(word), "a value is expected"));
  CHECK(says(skip("[1 2]"), "']' is expected"));
  CHECK(says(skip("{\"a\" 1}"), "':' is expected"));
  CHECK(says(skip("{\"a\": 1"), "the text ends where '}' is expected"));
  CHECK(skip(std::string(32, '[') + std::string(32, ']')) == "");
  CHECK(says(skip(std::string(33, '[') + std::string(33, ']')), "nested deeper than 32"));
}

// ---- Files ----------------------------------------------------------------------

std::string bytes_of(std::uint64_t value, Index width) {
  std::string bytes;
  for (; width-- > 0; value >>= 8)
    bytes.push_back(static_cast<char>(value & 0xFF));
  return bytes;
}

std::string file_of(const std::string &json, const std::string &data = "") {
  return bytes_of(json.size(), 8) + json + data;
}

// The header's part about one tensor.
std::string entry(const std::string &name, const std::string &type, const std::string &shape,
                  std::size_t begin, std::size_t end) {
  return '"' + name + "\": {\"dtype\": \"" + type + "\", \"shape\": " + shape +
         ", \"data_offsets\": [" + std::to_string(begin) + ", " + std::to_string(end) + "]}";
}

Numbers values_of(const std::string &file, std::size_t which = 0) {
  std::istringstream in(file);
  const SafetensorsHeader header = read_safetensors_header(in);
  const SafetensorsEntry &tensor = header.tensors.at(which);
  Numbers values(static_cast<std::size_t>(tensor.count));
  read_safetensors_values(in, header, tensor, values.data());
  return values;
}

Numbers decoded(const std::string &type, Index width, const std::vector<std::uint64_t> &bits) {
  std::string data;
  for (const std::uint64_t one : bits)
    data += bytes_of(one, width);
  const std::string shape = '[' + std::to_string(bits.size()) + ']';
  return values_of(file_of('{' + entry("x", type, shape, 0, data.size()) + '}', data));
}

void test_types() {
  CHECK(decoded("F64", 8, {0x3FF8000000000000, 0xC000000000000000}) == (Numbers{1.5, -2}));
  CHECK(decoded("F32", 4, {0x3FC00000, 0xC0000000, 0x00000001}) ==
        (Numbers{1.5, -2, std::ldexp(1.0, -149)}));
  // 1, the largest number, the least normal one, subnormal ones, infinities
  CHECK(decoded("F16", 2, {0x3C00, 0x7BFF, 0x0400, 0x0001, 0x83FF, 0x7C00, 0xFC00}) ==
        (Numbers{1, 65504, std::ldexp(1.0, -14), std::ldexp(1.0, -24), -1023 * std::ldexp(1.0, -24),
                 INFINITY, -INFINITY}));
  CHECK(std::isnan(decoded("F16", 2, {0x7E00})[0]));
  CHECK(decoded("BF16", 2, {0x3F80, 0xC040, 0x7F80}) == (Numbers{1, -3, INFINITY}));
  CHECK(decoded("I64", 8, {5, 0xFFFFFFFFFFFFFFFF, std::uint64_t{1} << 53}) ==
        (Numbers{5, -1, 9007199254740992.0}));
  CHECK(decoded("I32", 4, {5, 0x80000000}) == (Numbers{5, -2147483648.0}));
  CHECK(decoded("I16", 2, {5, 0x8000}) == (Numbers{5, -32768}));
  CHECK(decoded("I8", 1, {5, 0xFF}) == (Numbers{5, -1}));
  CHECK(decoded("U8", 1, {5, 0xFF}) == (Numbers{5, 255}));
  CHECK(decoded("BOOL", 1, {0, 1}) == (Numbers{0, 1}));
  for (const std::uint64_t far : {(std::uint64_t{1} << 53) + 1, 0 - (std::uint64_t{1} << 53) - 1})
    CHECK(says(complaint([&] { decoded("I64", 8, {far}); }), "beyond 2^53"));
  CHECK(says(complaint([] { decoded("BOOL", 1, {2}); }), "neither 0 nor 1"));
}

void test_order() {
  // row-major in the file, the first axis fastest in the result; more than one block
  const Index sizes[] = {3, 41, 101};
  std::string data;
  for (std::uint64_t i = 0; i < 3 * 41 * 101; ++i)
    data += bytes_of(i, 4);
  const Numbers x =
      values_of(file_of('{' + entry("x", "I32", "[3, 41, 101]", 0, data.size()) + '}', data));
  bool right = x.size() == 3 * 41 * 101;
  for (Index i = 0; i < sizes[0]; ++i)
    for (Index j = 0; j < sizes[1]; ++j)
      for (Index k = 0; k < sizes[2]; ++k)
        right = right && x[static_cast<std::size_t>(i + sizes[0] * (j + sizes[1] * k))] ==
                             static_cast<double>((i * sizes[1] + j) * sizes[2] + k);
  CHECK(right);
}

void test_header() {
  const std::string json = "{\"__metadata__\": {\"format\": \"pt\"}, " +
                           entry("b", "U8", "[2]", 1, 3) + ", " +
                           entry("none", "F32", "[0, 4]", 1, 1) + ", " +
                           "\"a\": {\"shape\": [], \"extra\": [1, {}], \"dtype\": \"BOOL\", "
                           "\"data_offsets\": [0, 1]}}";
  const std::string file = file_of(json, std::string("\1\7\10", 3));
  std::istringstream in(file);
  const SafetensorsHeader header = read_safetensors_header(in);
  // in the order of their numbers, not of their names
  CHECK(header.tensors.size() == 3 && header.tensors[0].name == "a" &&
        header.tensors[1].name == "none" && header.tensors[2].name == "b");
  CHECK(header.metadata.size() == 1 && header.metadata[0].second == "pt");
  CHECK(values_of(file, 0) == Numbers{1} && values_of(file, 1).empty() &&
        values_of(file, 2) == (Numbers{7, 8}));
}

void test_wrong_files() {
  const auto wrong = [](const std::string &file, const std::string &part) {
    const std::string text = complaint([&] { values_of(file); });
    if (!says(text, part))
      std::printf("\"%s\" does not say \"%s\"\n", text.c_str(), part.c_str());
    CHECK(says(text, part));
  };
  const auto header = [&](const std::string &members, const std::string &part,
                          const std::string &data = "") {
    wrong(file_of('{' + members + '}', data), part);
  };
  wrong("1234567", "has 7 bytes, too few for a header");
  wrong(bytes_of(100, 8) + "{}", "claims 100 bytes, but only 2 follow");
  wrong(file_of(""), "does not begin with '{'");
  wrong(file_of(" {}"), "does not begin with '{'");
  wrong(file_of("{\"x\" 1}"), "not the JSON it should be: ':' is expected at byte 6");
  header(entry("x", "F8", "[1]", 0, 1), "tensor \"x\" has the unknown dtype \"F8\"", "1");
  header("\"x\": {\"shape\": [1], \"data_offsets\": [0, 1]}", "lacks its dtype", "1");
  header("\"x\": {\"dtype\": \"U8\", \"data_offsets\": [0, 1]}", "lacks its shape", "1");
  header("\"x\": {\"dtype\": \"U8\", \"shape\": [1]}", "lacks its data_offsets", "1");
  header("\"x\": {\"dtype\": \"U8\", \"dtype\": \"U8\"}", "two fields \"dtype\"");
  header("\"x\": {\"shape\": [1], \"shape\": [1]}", "two fields \"shape\"");
  header("\"x\": {\"data_offsets\": [0, 1], \"data_offsets\": [0, 1]}",
         "two fields \"data_offsets\"");
  header("\"x\": {\"data_offsets\": [0, 1, 2]}", "must have two data_offsets, not 3");
  std::string axes = "[1";
  for (int i = 0; i < 32; ++i)
    axes += ", 1";
  header(entry("x", "U8", axes + ']', 0, 1), "more than 32 axes", "1");
  header(entry("x", "U8", "[1]", 1, 0), "ends before it begins");
  header(entry("x", "F32", "[2]", 0, 4), "needs 8 bytes for its shape, but its offsets span 4",
         "1234");
  header(entry("x", "U8", "[4294967296, 4294967296]", 0, 1), "larger than any file", "1");
  header(entry("x", "U8", "[2]", 0, 2), "ends at byte 2, but the file holds 1 bytes", "1");
  header(entry("x", "U8", "[2]", 0, 2) + ", " + entry("y", "U8", "[2]", 1, 3), "overlaps another",
         "123");
  header(entry("x", "U8", "[1]", 1, 2), "a gap in front of tensor \"x\"", "12");
  header(entry("x", "U8", "[1]", 0, 1), "has 1 bytes that belong to no tensor", "12");
  header(entry("x", "U8", "[1]", 0, 1) + ", " + entry("x", "U8", "[1]", 1, 2),
         "two tensors named \"x\"", "12");
  header("\"__metadata__\": {}, \"__metadata__\": {}", "two __metadata__ fields");
  header("\"__metadata__\": {\"a\": \"\", \"a\": \"\"}", "two metadata fields named \"a\"");
  // a name is cut between two characters
  std::string name(59, 'n');
  name += "\xC3\xA9\xC3\xA9";
  header(entry(name, "F8", "[1]", 0, 1), '"' + std::string(59, 'n') + "...\" has", "1");
  // a stream that cannot be read, and one that has shrunk
  std::istream broken(nullptr);
  CHECK(says(complaint([&] { read_safetensors_header(broken); }), "the file cannot be read"));
  std::istringstream in(file_of('{' + entry("x", "U8", "[2]", 0, 2) + '}', "12"));
  const SafetensorsHeader read = read_safetensors_header(in);
  in.str("short");
  double out[2];
  CHECK(says(complaint([&] { read_safetensors_values(in, read, read.tensors[0], out); }),
             "ends early or cannot be read"));
}

void test_interrupt() {
  std::istringstream in(
      file_of('{' + entry("x", "U8", "[50000]", 0, 50000) + '}', std::string(50000, '\1')));
  const SafetensorsHeader header = read_safetensors_header(in);
  Numbers values(50000);
  CHECK(attentive_test::is_interrupted([&](const Execution &execution) {
    read_safetensors_values(in, header, header.tensors[0], values.data(), execution);
  }));
  read_safetensors_values(in, header, header.tensors[0], values.data());
  CHECK(values == Numbers(50000, 1.0)); // and can be read from the beginning
}

} // namespace

int main() {
  test_strings();
  test_numbers();
  test_skipped();
  test_types();
  test_order();
  test_header();
  test_wrong_files();
  test_interrupt();
  return attentive_test::finish("test_safetensors");
}
