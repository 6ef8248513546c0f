// A bounded reader of JSON text, for the headers and configurations in files
// that nobody has vouched for. It pulls: the caller says what must come next,
// so nothing is built that was not asked for, and nesting cannot grow a stack.
#pragma once

#include "tensor.h"

#include <cstdint>
#include <string>

namespace attentive {

// What is wrong, in a sentence without the closing point.
class JsonError : public std::runtime_error {
public:
  using std::runtime_error::runtime_error;
};

// Borrows the text, which need not end in a NUL. Every method skips white space
// first and throws JsonError when something else comes than was asked for.
class JsonReader {
public:
  static constexpr int kMaxDepth = 32;

  JsonReader(const char *text, Index size) : at_(text), start_(text), end_(text + size) {}

  // A string as UTF-8. Broken UTF-8, lone surrogates and NULs are errors.
  std::string string();

  // A whole number from 0 to 2^63 - 1, without point or exponent.
  std::int64_t natural();

  // Calls on_member(key) in front of each value; it must read exactly that value.
  template <class F> void object(F on_member) {
    enter('{');
    if (!take('}')) {
      do {
        const std::string key = string();
        expect(':');
        on_member(key);
      } while (take(','));
      expect('}');
    }
    --depth_;
  }

  // Calls on_element() in front of each value; it must read exactly that value.
  template <class F> void array(F on_element) {
    enter('[');
    if (!take(']')) {
      do
        on_element();
      while (take(','));
      expect(']');
    }
    --depth_;
  }

  // Reads one value of any kind and forgets it.
  void skip();

  // Nothing but white space may be left.
  void finish();

private:
  [[noreturn]] void fail(const std::string &what) const;
  char peek();
  bool take(char c);
  void expect(char c);
  void enter(char bracket);
  void skip_number();
  void skip_word();
  unsigned four_hex_digits();
  std::uint32_t escaped_code_point();
  std::uint32_t raw_code_point();

  const char *at_;
  const char *start_;
  const char *end_;
  int depth_ = 0;
};

} // namespace attentive
