// The tokens of a row that may be among its k best.

#ifndef KEYTOKENS_KEPT_H_
#define KEYTOKENS_KEPT_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "product.h"

namespace keytokens {

// A token and its logit, which may be wrong by an error that is the same for all tokens of a row.
struct Candidate {
  float logit;
  int32_t token;
};

// Candidates, in the order in which they came.
class Kept {
 public:
  int64_t size() const { return size_; }
  float& logit(int64_t i) { return logits_[i]; }
  int32_t token(int64_t i) const { return tokens_[i]; }
  void Clear() { size_ = 0; }

  // Makes room for so many, and only ever grows.
  void Reserve(int64_t most) {
    if (most + kLanes <= static_cast<int64_t>(logits_.size())) return;  // a vector may be written behind the last
    logits_.resize(most + kLanes);
    tokens_.resize(most + kLanes);
  }
  void Add(Candidate one) {
    logits_[size_] = one.logit;
    tokens_[size_++] = one.token;
  }
  std::vector<Candidate> Copy() const {
    std::vector<Candidate> all(size_);
    for (int64_t i = 0; i < size_; i++) all[i] = {logits_[i], tokens_[i]};
    return all;
  }

  // Drops what the k best exceed for certain; `threshold`, below which nothing need be kept, rises.
  KEYTOKENS_LOOP void Prune(int64_t k, float error, float& threshold) {
    if (size_ < k) return;
    threshold = std::max(threshold, Reached(k) - 2 * error);
    int64_t left = 0;
    for (int64_t i = 0; i < size_; i += kLanes) {
      const Floats some = Load(&logits_[i]);
      const Mask stay = And(First(size_ - i), GreaterEqual(some, Set(threshold)));
      StorePicked(&logits_[left], stay, some);
      StorePicked(&tokens_[left], stay, LoadInts(&tokens_[i]));
      left += __builtin_popcount(Bits(stay));
    }
    size_ = left;
  }

 private:
  // What at least k of the logits reach, and hardly more: an interval that holds the k-th is halved again and again.
  float Reached(int64_t k) const {
    Floats least = Set(INFINITY), most = Set(-INFINITY);
    for (int64_t i = 0; i < size_; i += kLanes) {
      const Floats some = Load(&logits_[i]);
      const Mask there = First(size_ - i);
      least = Select(there, Min(least, some), least);
      most = Select(there, Max(most, some), most);
    }
    float low = Least(least), high = Largest(most);
    for (int halving = 0; halving < 14; halving++) {
      const float middle = 0.5f * low + 0.5f * high;
      int64_t count = 0;
      for (int64_t i = 0; i < size_; i += kLanes)
        count += __builtin_popcount(Bits(And(First(size_ - i), GreaterEqual(Load(&logits_[i]), Set(middle)))));
      (count >= k ? low : high) = middle;
    }
    return low;
  }

  std::vector<float> logits_;
  std::vector<int32_t> tokens_;
  int64_t size_ = 0;
};

}  // namespace keytokens

#endif  // KEYTOKENS_KEPT_H_
