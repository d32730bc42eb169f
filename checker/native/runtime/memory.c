/* Memory that grows in place: address space is reserved, and touched as it fills up. */
#include "engine.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

/* As much of `bytes` as the system lets us reserve; false if that is next to nothing. */
bool region_reserve(struct region *r, size_t bytes)
{
	const size_t least = 1 << 20;

	for (; bytes >= least; bytes /= 2) {
		void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

		if (at == MAP_FAILED)
			continue;
#ifdef MADV_HUGEPAGE
		madvise(at, bytes, MADV_HUGEPAGE);
#endif
		*r = (struct region){.at = at, .room = bytes};
		return true;
	}
	return false;
}

void region_release(struct region *r)
{
	if (r->at)
		munmap(r->at, r->room);
	*r = (struct region){0};
}

/* What a region takes although nothing is there yet: it grows by large pages. */
size_t region_waste(void)
{
#ifdef MADV_HUGEPAGE
	return (size_t)1 << 21;
#else
	return 0;
#endif
}

/* Give back what the first bytes of a region take; they are not read any more. */
void region_forget(const struct region *r, size_t bytes)
{
	const size_t page = (size_t)1 << 21;

	if (bytes / page)
		madvise(r->at, bytes / page * page, MADV_DONTNEED);
}

size_t machine_memory(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);

	return pages > 0 && size > 0 ? (size_t)pages * (size_t)size : (size_t)4 << 30;
}

/* The most this program has taken; ru_maxrss only where nothing better is known, as exec inherits it. */
uint64_t peak_bytes(void)
{
	struct rusage usage;
	unsigned long long kib;
	char line[256];
	FILE *file = fopen("/proc/self/status", "r");
	bool known = false;

	while (file && !known && fgets(line, sizeof(line), file))
		known = sscanf(line, "VmHWM: %llu kB", &kib) == 1;
	if (file)
		fclose(file);
	if (known)
		return (uint64_t)kib << 10;
	if (getrusage(RUSAGE_SELF, &usage))
		return 0;
#ifdef __APPLE__
	return (uint64_t)usage.ru_maxrss;
#else
	return (uint64_t)usage.ru_maxrss << 10;
#endif
}

/* What this program takes now. */
uint64_t resident_bytes(void)
{
	const uint64_t guess = (uint64_t)4 << 20;
	unsigned long long pages;
	FILE *file = fopen("/proc/self/statm", "r");
	bool known;

	if (!file)
		return guess;
	known = fscanf(file, "%*u %llu", &pages) == 1;
	fclose(file);
	return known ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : guess;
}

/* A small block of memory that the program cannot go on without. */
void *wanted(void *memory)
{
	if (!memory) {
		fputs("out of memory\n", stderr);
		exit(3);
	}
	return memory;
}
