// What a run of random configurations has met: the share of degenerate ones,
// and which kinds of masks came together. Printed, so that a claim is a figure.
#pragma once

#include "problem.h"

namespace attentive_test {

class Coverage {
public:
  void add(const Configuration &c) {
    const AttentionShape &a = c.shape;
    ++configurations_;
    const bool degenerate[kDegenerateKinds] = {
        has_empty_row(c),
        a.queries == 1 || a.keys == 1,
        a.batch == 0 || a.queries == 0 || a.keys == 0,
        c.values == Values::large_scores || c.values == Values::overflow,
        c.values == Values::denormal,
        c.poison != Poison::none,
    };
    bool any = false;
    for (int kind = 0; kind < kDegenerateKinds; ++kind) {
      degenerate_[kind] += degenerate[kind];
      any = any || degenerate[kind];
    }
    any_degenerate_ += any;
    dropout_ += c.dropout.rate > 0;
    for (int i = 0; i < kMaskKinds; ++i)
      for (int j = 0; j < kMaskKinds; ++j)
        ++masks_[i][j][c.has[i]][c.has[j]];
    if (c.has[kDense]) {
      int shape = 0;
      for (int axis = 0; axis < 5; ++axis)
        shape |= static_cast<int>(c.broadcast[axis]) << axis;
      ++broadcasts_[shape];
    }
  }

  void print() const {
    const char *names[kDegenerateKinds] = {"an empty row", "T or S = 1", "B, T or S = 0",
                                           "huge scores",  "denormals",  "NaN or Inf"};
    std::printf("degenerate: %.1f%% of %ld configurations (", share(any_degenerate_),
                configurations_);
    for (int kind = 0; kind < kDegenerateKinds; ++kind)
      std::printf("%s%s %.1f%%", kind == 0 ? "" : ", ", names[kind], share(degenerate_[kind]));
    std::printf(")\n");

    int met = 0, possible = 0;
    long fewest = configurations_;
    for (int i = 0; i < kMaskKinds; ++i)
      for (int j = 0; j < i; ++j)
        for (int both = 0; both < 4; ++both) {
          const long times = masks_[i][j][both / 2][both % 2];
          ++possible;
          met += times > 0;
          fewest = std::min(fewest, times);
        }
    int shapes = 0;
    for (long times : broadcasts_)
      shapes += times > 0;
    std::printf("mask kinds: %d of %d pairs (with or without each) met, each at least %ld times; "
                "%d of 32 broadcasts of the dense mask; dropout in %.1f%%\n",
                met, possible, fewest, shapes, share(dropout_));
  }

  double degenerate_share() const { return share(any_degenerate_); }

private:
  static constexpr int kDegenerateKinds = 6;

  static bool has_empty_row(const Configuration &c) {
    for (Index n = 0; n < c.shape.elements(); ++n)
      for (Index h = 0; h < c.shape.heads; ++h)
        for (Index t = 0; t < c.shape.queries; ++t)
          if (!query_sees(c, n, h, t))
            return true;
    return false;
  }

  double share(long part) const {
    return 100.0 * static_cast<double>(part) / static_cast<double>(std::max(configurations_, 1L));
  }

  long configurations_ = 0, any_degenerate_ = 0, dropout_ = 0;
  long degenerate_[kDegenerateKinds] = {};
  long masks_[kMaskKinds][kMaskKinds][2][2] = {};
  long broadcasts_[32] = {};
};

} // namespace attentive_test
