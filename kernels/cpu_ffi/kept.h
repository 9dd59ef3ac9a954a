// The tokens of a row that may be among its k best.

#ifndef KEYTOKENS_KEPT_H_
#define KEYTOKENS_KEPT_H_

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "product.h"

#if defined(__x86_64__)
namespace keytokens {

#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,fma,prfchw,prefer-vector-width=512")

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
    if (most + 16 <= static_cast<int64_t>(logits_.size())) return;  // a vector may be written behind the last
    logits_.resize(most + 16);
    tokens_.resize(most + 16);
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
    for (int64_t i = 0; i < size_; i += 16) {
      const __m512 some = _mm512_loadu_ps(&logits_[i]);
      const __mmask16 stay = _mm512_mask_cmp_ps_mask(Lanes(size_ - i), some, _mm512_set1_ps(threshold), _CMP_GE_OQ);
      _mm512_storeu_ps(&logits_[left], _mm512_maskz_compress_ps(stay, some));
      _mm512_storeu_si512(&tokens_[left], _mm512_maskz_compress_epi32(stay, _mm512_loadu_si512(&tokens_[i])));
      left += __builtin_popcount(stay);
    }
    size_ = left;
  }

 private:
  // What at least k of the logits reach, and hardly more: an interval that holds the k-th is halved again and again.
  float Reached(int64_t k) const {
    __m512 least = _mm512_set1_ps(INFINITY), most = _mm512_set1_ps(-INFINITY);
    for (int64_t i = 0; i < size_; i += 16) {
      const __m512 some = _mm512_loadu_ps(&logits_[i]);
      least = _mm512_mask_min_ps(least, Lanes(size_ - i), least, some);
      most = _mm512_mask_max_ps(most, Lanes(size_ - i), most, some);
    }
    float low = _mm512_reduce_min_ps(least), high = _mm512_reduce_max_ps(most);
    for (int halving = 0; halving < 14; halving++) {
      const float middle = 0.5f * low + 0.5f * high;
      int64_t count = 0;
      for (int64_t i = 0; i < size_; i += 16)
        count += __builtin_popcount(_mm512_mask_cmp_ps_mask(Lanes(size_ - i), _mm512_loadu_ps(&logits_[i]),
                                                            _mm512_set1_ps(middle), _CMP_GE_OQ));
      (count >= k ? low : high) = middle;
    }
    return low;
  }

  std::vector<float> logits_;
  std::vector<int32_t> tokens_;
  int64_t size_ = 0;
};

#pragma GCC pop_options

}  // namespace keytokens
#endif

#endif  // KEYTOKENS_KEPT_H_
