// A number as a message shows it: 7, not 7.000000.
#pragma once

#include <sstream>
#include <string>

namespace attentive {

inline std::string number_text(double number) {
  std::ostringstream text;
  text << number;
  return text.str();
}

} // namespace attentive
