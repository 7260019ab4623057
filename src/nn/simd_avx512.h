// Sixteen lanes in one AVX-512 register: the same operations as simd_portable.h. Included inside an unnamed
// namespace.

using Vec = __m512;
using Mask = __mmask16;
using Index = __m512i;
using Bits = __m512i;

inline Vec set1(float x) { return _mm512_set1_ps(x); }
inline Vec load(const float* p) { return _mm512_loadu_ps(p); }
inline void store(float* p, Vec v) { _mm512_storeu_ps(p, v); }
inline __m512i load_halves(const Bf16* p) {
  return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
inline Vec load(const Bf16* p) { return _mm512_castsi512_ps(_mm512_slli_epi32(load_halves(p), 16)); }
inline Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
inline Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
inline Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
inline Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
inline Vec root(Vec a) { return _mm512_sqrt_ps(a); }
inline Vec mul_add(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
inline Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
inline Mask greater(Vec a, Vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ); }
inline Vec select(Mask m, Vec yes, Vec no) { return _mm512_mask_mov_ps(no, m, yes); }

inline Index index_of(uint8_t k) { return _mm512_set1_epi32(k); }
inline Index select(Mask m, Index yes, Index no) { return _mm512_mask_mov_epi32(no, m, yes); }
inline Index load_index(const uint8_t* p) {
  return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
inline void store_index(uint8_t* p, Index k) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(k));
}
inline Mask equals(Index k, uint8_t value) { return _mm512_cmpeq_epi32_mask(k, _mm512_set1_epi32(value)); }

inline void add_to(double* sums, Vec v) {
  const __m512d low = _mm512_cvtps_pd(_mm512_castps512_ps256(v));
  const __m512d high = _mm512_cvtps_pd(_mm512_extractf32x8_ps(v, 1));
  _mm512_storeu_pd(sums, _mm512_add_pd(_mm512_loadu_pd(sums), low));
  _mm512_storeu_pd(sums + 8, _mm512_add_pd(_mm512_loadu_pd(sums + 8), high));
}

inline Bits load_element(const float* first, const float*) { return _mm512_loadu_si512(first); }
inline Bits load_element(const Bf16* first, const Bf16* second) {
  const __m512i low = load_halves(first);
  return second ? _mm512_or_si512(low, _mm512_slli_epi32(load_halves(second), 16)) : low;
}
inline void store_bits(uint32_t* to, Bits b) { _mm512_storeu_si512(to, b); }
inline Bits zero_bits() { return _mm512_setzero_si512(); }
inline Bits load_bits(const uint32_t* p) { return _mm512_loadu_si512(p); }

template <class T>
inline Vec dot(Vec sum, uint32_t a, Bits b) {
  const __m512i s = _mm512_set1_epi32(static_cast<int>(a));
#ifdef __AVX512BF16__
  if constexpr (sizeof(T) == 2)
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(s), reinterpret_cast<__m512bh>(b));
#endif
  return _mm512_fmadd_ps(_mm512_castsi512_ps(s), _mm512_castsi512_ps(b), sum);
}

// A matrix of 2^kStages columns in kVectors vectors, transposed: each stage turns the address of every
// element right by one bit. (Gathers would do, slowly on Zen 4.)
template <int kVectors, int kStages>
inline void transpose_lanes(__m512i (&v)[kVectors]) {
  const __m512i even = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
  const __m512i odd = _mm512_add_epi32(even, _mm512_set1_epi32(1));
#pragma GCC unroll 4
  for (int stage = 0; stage < kStages; ++stage) {
    __m512i next[kVectors];
#pragma GCC unroll 8
    for (int i = 0; i < kVectors / 2; ++i) {
      next[i] = _mm512_permutex2var_epi32(v[2 * i], even, v[2 * i + 1]);
      next[i + kVectors / 2] = _mm512_permutex2var_epi32(v[2 * i], odd, v[2 * i + 1]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kVectors; ++i) v[i] = next[i];
  }
}

inline void turn_words(uint32_t* m, int count) {
  for (int i = 0; i < count; ++i, m += 256) {
    __m512i rows[16];
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) rows[r] = _mm512_loadu_si512(m + r * 16);
    transpose_lanes<16, 4>(rows);
#pragma GCC unroll 16
    for (int r = 0; r < 16; ++r) _mm512_storeu_si512(m + r * 16, rows[r]);
  }
}

// Written past the caches: a copy is read in the next step, long after it would have left them. `to` is
// aligned.
inline void store_past_caches(void* to, __m512i v) { _mm512_stream_si512(static_cast<__m512i*>(to), v); }

// After the last of them, before another thread reads.
inline void finish_stores() { _mm_sfence(); }

inline void store_row(float* to, Vec v) { store_past_caches(to, _mm512_castps_si512(v)); }

inline void transpose(const float* from, float* to, size_t stride) {
  __m512i rows[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) rows[i] = _mm512_loadu_si512(from + i * 16);
  transpose_lanes<16, 4>(rows);
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) store_past_caches(to + i * stride, rows[i]);
}

#ifdef __AVX512BF16__
inline __m256i to_halves(Vec v) { return reinterpret_cast<__m256i>(_mm512_cvtneps_pbh(v)); }
inline void store(Bf16* p, Vec v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), to_halves(v)); }
inline void store_row_pair(Bf16* to, Bf16* row0, Bf16* row1, Vec a, Vec b) {
  const __m256i low = to_halves(a), high = to_halves(b);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(row0), low);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(row1), high);
  store_past_caches(
      to, _mm512_or_si512(_mm512_cvtepu16_epi32(low), _mm512_slli_epi32(_mm512_cvtepu16_epi32(high), 16)));
}
inline void store_column_pairs(const Bf16* rows, Bf16* to, size_t stride) {
  __m512i pairs[8];  // of neighbouring columns; two rows a vector
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) pairs[i] = _mm512_loadu_si512(rows + i * 32);
  transpose_lanes<8, 3>(pairs);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) store_past_caches(to + i * stride, pairs[i]);
}
#endif
