/* What generated code is written in terms of. */
#ifndef LZ_MODEL_H
#define LZ_MODEL_H

#include "state.h"

/* A successor; and, before it, generations renumbered where some were written. */
void model_put(struct sink *x, uint32_t rule, struct state n);
void model_renumber(struct state *n);

/* What can go wrong while an expression is computed. */
struct trouble {
	bool undefined; /* null used as an index, or a position outside a sequence */
	bool outgrown;  /* a value outside its type was assigned */
};

static inline int undefined(struct trouble *t)
{
	t->undefined = true;
	return 0;
}

/* Sequences: items of `bits` each from bit 0, the length from bit 58. */
typedef uint64_t seq;

static inline int seq_len(seq q)
{
	return (int)(q >> 58);
}

static inline seq seq_load(uint64_t field, unsigned item_bits)
{
	return (field & ((UINT64_C(1) << item_bits) - 1)) | (field >> item_bits) << 58;
}

static inline uint64_t seq_store(seq q, unsigned item_bits)
{
	return (q & ((UINT64_C(1) << 58) - 1)) | (q >> 58) << item_bits;
}

static inline int seq_get(seq q, int position, unsigned bits, int lo, struct trouble *t)
{
	if (position < 0 || position >= seq_len(q))
		return undefined(t);
	return (int)(q >> ((unsigned)position * bits) & ((UINT64_C(1) << bits) - 1)) + lo;
}

static inline seq seq_push(seq q, int item, unsigned bits, int lo, unsigned capacity, struct trouble *t)
{
	if ((unsigned)seq_len(q) > capacity || item < lo || (unsigned)(item - lo) >> bits) {
		t->outgrown = true;
		return q;
	}
	return (q | (uint64_t)(item - lo) << ((unsigned)seq_len(q) * bits)) + (UINT64_C(1) << 58);
}

static inline seq seq_tail(seq q, unsigned bits)
{
	uint64_t items = q & ((UINT64_C(1) << 58) - 1);

	return q >> 58 ? items >> bits | (uint64_t)(seq_len(q) - 1) << 58 : 0;
}

static inline bool seq_has(seq q, int item, unsigned bits, int lo)
{
	for (int i = 0; i < seq_len(q); i++)
		if ((int)(q >> ((unsigned)i * bits) & ((UINT64_C(1) << bits) - 1)) + lo == item)
			return true;
	return false;
}

/* Renumber generations: from 1, neighbours stay neighbours, no gap larger than 2. */
static inline void squeeze(int *numbers, unsigned count)
{
	int sorted[64], renumbered[64];
	unsigned distinct = 0;

	for (unsigned i = 0; i < count; i++) {
		unsigned at = 0;

		while (at < distinct && sorted[at] < numbers[i])
			at++;
		if (at < distinct && sorted[at] == numbers[i])
			continue;
		for (unsigned k = distinct; k > at; k--)
			sorted[k] = sorted[k - 1];
		sorted[at] = numbers[i];
		distinct++;
	}
	for (unsigned i = 0; i < distinct; i++) {
		int gap = i ? sorted[i] - sorted[i - 1] : 0;

		renumbered[i] = i ? renumbered[i - 1] + (gap > 2 ? 2 : gap) : 1;
	}
	for (unsigned i = 0; i < count; i++)
		for (unsigned k = 0; k < distinct; k++)
			if (sorted[k] == numbers[i]) {
				numbers[i] = renumbered[k];
				break;
			}
}

#endif
