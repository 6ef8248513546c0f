// Windows that slide over the steps of a sequence, for convolution and pooling.
#pragma once

#include <algorithm>
#include <stdexcept>
#include <string>

#include "nodes.h"

namespace attentive {

// Step t of the result looks at the steps t * stride + k * dilation - before of x, where they
// are there, for the taps 0 <= k < taps.
struct Windows {
  Index taps = 1, stride = 1, dilation = 1;
  std::string padding = "valid"; // or same, causal
  Index steps = 0, before = 0, made = 0;

  // Options size, stride, dilation and padding.
  static Windows read(const NodeOptions &options) {
    Windows windows;
    windows.taps = static_cast<Index>(options.number("size", 1));
    windows.stride = static_cast<Index>(options.number("stride", 1));
    windows.dilation = static_cast<Index>(options.number("dilation", 1));
    windows.padding = options.text("padding", "valid");
    if (windows.taps < 1 || windows.stride < 1 || windows.dilation < 1)
      throw std::invalid_argument("a window has at least one step");
    return windows;
  }

  // As TensorFlow and Keras count.
  void plan(Index steps_of_x) {
    steps = steps_of_x;
    const Index span = (taps - 1) * dilation + 1;
    before = padding == "causal" ? span - 1 : 0;
    if (padding == "same") {
      made = (steps + stride - 1) / stride;
      before = std::max<Index>(0, (made - 1) * stride + span - steps) / 2;
    } else {
      made = steps + before < span ? 0 : (steps + before - span) / stride + 1;
    }
    if (made == 0 && padding == "valid")
      throw std::invalid_argument("the sequences are shorter than the window");
  }

  // Where in x tap k of step t looks.
  Index place(Index t, Index k) const { return t * stride + k * dilation - before; }
  // The steps first <= t < last for which place(t, k) is in x.
  Index first(Index k) const {
    const Index missing = before - k * dilation;
    return missing <= 0 ? 0 : std::min(made, (missing + stride - 1) / stride);
  }
  Index last(Index k) const {
    const Index room = steps - 1 + before - k * dilation;
    return room < 0 ? 0 : std::min(made, room / stride + 1);
  }
};

} // namespace attentive
