/* The frames of RFC 6455 in C: the twin of _python_frames.py, with the same interface and the same texts.
 *
 * Sans-IO. Limited API of Python 3.11 (one abi3 wheel); a free-threaded Python, which has no limited API, gets a build of
 * its own. Everything between two Python objects is plain C on the reader's buffer: bytes come in by get_buffer() and
 * received(), whole messages go out in a list.
 */

#include <pyconfig.h> /* Py_GIL_DISABLED */
#ifndef Py_GIL_DISABLED
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000
#endif
#endif
#include <Python.h>

#include <stdint.h>
#include <string.h>

#ifdef Py_GIL_DISABLED
#define LOCKED(object) Py_BEGIN_CRITICAL_SECTION(object)
#define UNLOCKED() Py_END_CRITICAL_SECTION()
#else
#define LOCKED(object) {
#define UNLOCKED() }
#endif

/* Flags of `state`. */
enum { PENDING = 1, CONTROLS = 2, CLOSED = 4, VIOLATED = 8 };

enum { CONTINUATION = 0, TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10 };
enum { FIN = 0x80, RSV1 = 0x40, RSV23 = 0x30, MASKED = 0x80 };
enum { PROTOCOL_ERROR = 1002, INVALID_TEXT = 1007, TOO_BIG = 1009, NO_STATUS = 1005 };

/* Messages and control frames of one call; the rest waits for more(). */
#define SLICE 512
/* Bytes of decompressed messages of one call. */
#define INFLATED 1048576
/* Bytes of the buffer: at first, at most while frames are smaller, and offered at a time within a larger frame. */
#define SMALLEST 4096
#define USUAL 131072
#define LARGE_READ 262144
/* Bytes of random masks that are fetched at once. */
#define POOL 4096

typedef unsigned char byte;

/* ---------------------------------------------------------------------------------------------------------------- UTF-8 */

/* Progress within a sequence: how many bytes must follow, and between which bounds the next one is (RFC 3629, section 4). */
typedef struct {
    byte left, low, high;
} utf8_state;

static int
utf8_check(utf8_state *state, const byte *data, size_t size)
{
    const byte *end = data + size;
    while (data < end) {
        if (state->left == 0) {
            while (end - data >= 8) { /* eight ASCII bytes at a time */
                uint64_t word;
                memcpy(&word, data, 8);
                if (word & UINT64_C(0x8080808080808080)) {
                    break;
                }
                data += 8;
            }
            if (data == end) {
                return 1;
            }
            byte first = *data++;
            if (first < 0x80) {
                continue;
            }
            if (first < 0xC2 || first > 0xF4) {
                return 0;
            }
            state->left = first < 0xE0 ? 1 : first < 0xF0 ? 2 : 3;
            state->low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
            state->high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
        }
        else {
            byte next = *data++;
            if (next < state->low || next > state->high) {
                return 0;
            }
            state->left--;
            state->low = 0x80;
            state->high = 0xBF;
        }
    }
    return 1;
}

/* ---------------------------------------------------------------------------------------------------------------- masks */

/* XOR `size` bytes with the mask, which begins at its byte `offset`. */
static void
apply_mask(byte *target, const byte *source, size_t size, const byte *mask, size_t offset)
{
    byte turned[8];
    for (int i = 0; i < 8; i++) {
        turned[i] = mask[(offset + (size_t)i) & 3];
    }
    uint64_t wide;
    memcpy(&wide, turned, 8);
    size_t i = 0;
    for (; i + 8 <= size; i += 8) {
        uint64_t word;
        memcpy(&word, source + i, 8);
        word ^= wide;
        memcpy(target + i, &word, 8);
    }
    for (; i < size; i++) {
        target[i] = source[i] ^ turned[i & 7];
    }
}

/* --------------------------------------------------------------------------------------------------------------- reader */

typedef struct {
    PyObject_HEAD
    PyObject *inflate;   /* callable, or NULL: no extension was agreed on */
    PyObject *controls;  /* list of (opcode, payload) */
    PyObject *close;     /* (code, reason), or NULL */
    PyObject *violation; /* (code, text), or NULL */
    int64_t max_size;    /* bytes of a message; -1: no limit */
    int state;
    byte masked;     /* the peer must mask */
    byte is_parsing; /* inflate() may be running, or a finalizer: neither may call this reader */

    byte *buffer;
    size_t capacity, start, end; /* bytes that were read and not parsed: from start to end */
    size_t offered;              /* bytes that get_buffer() offered last */
    Py_ssize_t exports;
    byte was_filled; /* the last read took all that was offered */

    /* The frame whose header was read, while its payload is incomplete. */
    byte in_frame, first, mask[4];
    uint64_t length;
    size_t done; /* bytes of its payload that are unmasked and checked */

    /* The fragmented message under way. */
    byte opcode; /* 0: none */
    byte compressed;
    utf8_state utf8;
    byte *message;
    size_t message_size, message_capacity;
} Reader;

static int
violate(Reader *self, int code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyObject *text = PyUnicode_FromFormatV(format, arguments);
    va_end(arguments);
    if (text == NULL) {
        return -1;
    }
    self->violation = Py_BuildValue("(iN)", code, text);
    if (self->violation == NULL) {
        return -1;
    }
    self->state |= VIOLATED;
    return 0;
}

/* The buffer from this offset on. Nothing may be added to NULL, not even 0. */
static byte *
buffer_at(Reader *self, size_t offset)
{
    return self->buffer == NULL ? NULL : self->buffer + offset;
}

static int
is_busy(Reader *self)
{
    if (self->is_parsing) {
        PyErr_SetString(PyExc_RuntimeError, "a FrameReader is called while it parses, as by its own inflate()");
    }
    return self->is_parsing;
}

static int
is_over(Reader *self)
{
    return self->close != NULL || self->violation != NULL;
}

/* Bytes that a frame of this message may have at most; a compressed one can be a little longer than its message. */
static int
is_too_long(Reader *self, uint64_t length, int is_compressed)
{
    if (self->max_size < 0) {
        return 0;
    }
    uint64_t limit = (uint64_t)self->max_size;
    if (is_compressed) {
        return length > limit + limit / 1000 + 64;
    }
    return length > limit || self->message_size > limit - length;
}

static int
too_big(Reader *self)
{
    return violate(self, TOO_BIG, "a message is larger than max_size (%lld bytes), its fragments together",
                   (long long)self->max_size);
}

/* Check the header of a frame; 0 if it is valid or a violation was noted, -1 with an exception. */
static int
check_header(Reader *self, byte first, byte second, uint64_t length)
{
    int opcode = first & 0x0F;
    int is_control = opcode >= CLOSE;
    if (first & RSV23 || (first & RSV1 && self->inflate == NULL)) {
        return violate(self, PROTOCOL_ERROR, "a reserved bit is set, but no extension was agreed on");
    }
    if (first & RSV1 && (is_control || opcode == CONTINUATION)) {
        return violate(self, PROTOCOL_ERROR, "the bit of compression is set in a frame that does not begin a message");
    }
    if ((opcode > BINARY && !is_control) || opcode > PONG) {
        return violate(self, PROTOCOL_ERROR, "opcode %d is unknown", opcode);
    }
    if (!(second & MASKED) != !self->masked) {
        return violate(self, PROTOCOL_ERROR, self->masked ? "a frame is not masked" : "a frame is masked");
    }
    if (is_control) {
        if (!(first & FIN)) {
            return violate(self, PROTOCOL_ERROR, "a control frame is fragmented");
        }
        if ((second & 0x7F) > 125) {
            return violate(self, PROTOCOL_ERROR, "a control frame is longer than 125 bytes");
        }
        return 0;
    }
    if (opcode == CONTINUATION && self->opcode == 0) {
        return violate(self, PROTOCOL_ERROR, "a message is continued that never began");
    }
    if (opcode != CONTINUATION && self->opcode != 0) {
        return violate(self, PROTOCOL_ERROR, "a message begins before the fragmented one is complete");
    }
    if (length >> 63) {
        return violate(self, PROTOCOL_ERROR, "a frame is longer than 2**63 bytes");
    }
    int is_compressed = opcode == CONTINUATION ? self->compressed : (first & RSV1) != 0;
    return is_too_long(self, length, is_compressed) ? too_big(self) : 0;
}

/* Read the header of the next frame: 1 if there is one, 0 if bytes are missing or it is a violation, -1: exception. */
static int
read_header(Reader *self)
{
    size_t available = self->end - self->start;
    const byte *data = buffer_at(self, self->start);
    if (available < 2) {
        return 0;
    }
    byte first = data[0], second = data[1];
    uint64_t length = second & 0x7F;
    size_t size = 2;
    if (length == 126) {
        size = 4;
    }
    else if (length == 127) {
        size = 10;
    }
    size_t whole = size + (second & MASKED ? 4 : 0);
    if (available < whole) {
        /* What is wrong with the first two bytes needn't wait for the others. */
        return check_header(self, first, second, 0);
    }
    if (size > 2) {
        length = 0;
        for (size_t i = 2; i < size; i++) {
            length = length << 8 | data[i];
        }
    }
    if (check_header(self, first, second, length) < 0) {
        return -1;
    }
    if (self->violation != NULL) {
        return 0;
    }
    if (second & MASKED) {
        memcpy(self->mask, data + size, 4);
    }
    self->first = first;
    self->length = length;
    self->done = 0;
    self->in_frame = 1;
    self->start += whole;
    return 1;
}

static int
append_to_message(Reader *self, const byte *data, size_t size)
{
    if (size > self->message_capacity - self->message_size) {
        size_t wanted = self->message_size + size;
        size_t doubled = self->message_capacity * 2;
        size_t capacity = doubled > wanted ? doubled : wanted;
        byte *grown = PyMem_Realloc(self->message, capacity);
        if (grown == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        self->message = grown;
        self->message_capacity = capacity;
    }
    if (size > 0) {
        memcpy(self->message + self->message_size, data, size);
    }
    self->message_size += size;
    return 0;
}

static void
forget_message(Reader *self)
{
    PyMem_Free(self->message);
    self->message = NULL;
    self->message_size = self->message_capacity = 0;
    self->opcode = self->compressed = 0;
    memset(&self->utf8, 0, sizeof self->utf8);
}

static int
not_utf8(Reader *self)
{
    return violate(self, INVALID_TEXT, "a text is not UTF-8");
}

/* Add one whole message to `messages`. */
static int
deliver(Reader *self, PyObject *messages, int opcode, const byte *data, size_t size)
{
    PyObject *message;
    if (opcode == TEXT) {
        message = PyUnicode_DecodeUTF8((const char *)data, (Py_ssize_t)size, NULL);
        if (message == NULL && PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            PyErr_Clear();
            return not_utf8(self);
        }
    }
    else {
        message = PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size);
    }
    if (message == NULL) {
        return -1;
    }
    int failed = PyList_Append(messages, message);
    Py_DECREF(message);
    return failed;
}

/* Note the error of inflate(): one with a `code` is the peer's; any other is ours, and is raised. */
static int
inflate_failed(Reader *self)
{
    PyObject *type, *value, *traceback;
    if (!PyErr_ExceptionMatches(PyExc_Exception)) { /* as SystemExit of a signal handler, which has a `code`, too */
        return -1;
    }
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    /* Interned: the interpreter's cache of attributes would keep each new one. */
    PyObject *name = PyUnicode_InternFromString("code");
    PyObject *code = value == NULL || name == NULL ? NULL : PyObject_GetAttr(value, name);
    Py_XDECREF(name);
    if (code == NULL) {
        PyErr_Clear();
        PyErr_Restore(type, value, traceback);
        return -1;
    }
    PyObject *text = PyObject_Str(value);
    Py_XDECREF(type);
    Py_XDECREF(value);
    Py_XDECREF(traceback);
    if (text == NULL) {
        Py_DECREF(code);
        return -1;
    }
    self->violation = Py_BuildValue("(NN)", code, text);
    if (self->violation == NULL) {
        return -1;
    }
    self->state |= VIOLATED;
    return 0;
}

/* Take the whole payload of a data frame; `inflated` counts decompressed bytes. */
static int
take_data(Reader *self, PyObject *messages, const byte *data, size_t size, size_t *inflated)
{
    int is_last = (self->first & FIN) != 0;
    int opcode = self->first & 0x0F;
    int is_first = opcode != CONTINUATION;
    if (is_first && is_last && !(self->first & RSV1)) {
        return deliver(self, messages, opcode, data, size);
    }
    if (is_first) {
        self->opcode = (byte)opcode;
        self->compressed = (self->first & RSV1) != 0;
    }
    PyObject *plain = NULL;
    if (self->compressed) {
        /* No "y#" here or elsewhere: headers of 3.13 make calls of it that older interpreters refuse. */
        plain = PyObject_CallFunction(self->inflate, "NOO",
                                      PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size),
                                      is_first ? Py_True : Py_False, is_last ? Py_True : Py_False);
        if (plain == NULL) {
            return inflate_failed(self);
        }
        char *found;
        Py_ssize_t length;
        if (PyBytes_AsStringAndSize(plain, &found, &length) < 0) {
            Py_DECREF(plain);
            return -1;
        }
        data = (const byte *)found;
        size = (size_t)length;
        *inflated += size;
    }
    int result = 0;
    if (is_too_long(self, size, 0)) {
        result = too_big(self);
    }
    else if (is_first && is_last) {
        result = deliver(self, messages, self->opcode, data, size);
        forget_message(self);
    }
    else if (self->opcode == TEXT && self->compressed && !utf8_check(&self->utf8, data, size)) {
        result = not_utf8(self);
    }
    else if (append_to_message(self, data, size) < 0) {
        result = -1;
    }
    else if (is_last) {
        result = deliver(self, messages, self->opcode, self->message, self->message_size);
        forget_message(self);
    }
    Py_XDECREF(plain);
    return result;
}

static int
is_sendable(int code)
{
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) || (code >= 3000 && code < 5000);
}

static int
take_close(Reader *self, const byte *data, size_t size)
{
    int code = size < 2 ? NO_STATUS : data[0] << 8 | data[1];
    if (size == 1) {
        return violate(self, PROTOCOL_ERROR, "a CLOSE frame has one byte");
    }
    if (size >= 2 && !is_sendable(code)) {
        return violate(self, PROTOCOL_ERROR, "close code %d must not be sent", code);
    }
    PyObject *reason = PyUnicode_DecodeUTF8((const char *)data + (size < 2 ? 0 : 2), size < 2 ? 0 : (Py_ssize_t)size - 2, NULL);
    if (reason == NULL) {
        if (!PyErr_ExceptionMatches(PyExc_UnicodeDecodeError)) {
            return -1;
        }
        PyErr_Clear();
        return violate(self, INVALID_TEXT, "the reason of a CLOSE is not UTF-8");
    }
    self->close = Py_BuildValue("(iN)", code, reason);
    if (self->close == NULL) {
        return -1;
    }
    self->state |= CLOSED;
    return 0;
}

static int
take_control(Reader *self, const byte *data, size_t size)
{
    int opcode = self->first & 0x0F;
    if (opcode == CLOSE) {
        return take_close(self, data, size);
    }
    PyObject *control = Py_BuildValue("(iN)", opcode, PyBytes_FromStringAndSize((const char *)data, (Py_ssize_t)size));
    if (control == NULL) {
        return -1;
    }
    int failed = PyList_Append(self->controls, control);
    Py_DECREF(control);
    self->state |= CONTROLS;
    return failed;
}

/* Unmask the bytes of the frame under way that have arrived, and check its text as far as it has come. */
static int
prepare_payload(Reader *self, byte *data, size_t arrived)
{
    size_t fresh = arrived - self->done;
    if (fresh == 0) {
        return 0;
    }
    byte *from = data + self->done;
    if (self->masked) {
        apply_mask(from, from, fresh, self->mask, self->done);
    }
    int opcode = self->first & 0x0F;
    int is_whole = self->done == 0 && arrived == self->length && opcode == TEXT && self->first & FIN;
    int is_text = (opcode == TEXT && !(self->first & RSV1)) || (opcode == CONTINUATION && self->opcode == TEXT && !self->compressed);
    self->done = arrived;
    if (is_text && !is_whole && !utf8_check(&self->utf8, from, fresh)) {
        return not_utf8(self);
    }
    return 0;
}

/* Parse what the buffer holds. Returns a new list, or NULL with an exception. */
static PyObject *
parse(Reader *self)
{
    PyObject *messages = PyList_New(0);
    if (messages == NULL) {
        return NULL;
    }
    self->state &= ~PENDING;
    self->is_parsing = 1;
    size_t inflated = 0;
    int taken = 0;
    while (!is_over(self)) {
        if (taken == SLICE || inflated >= INFLATED) {
            if (self->start < self->end) {
                self->state |= PENDING;
            }
            break;
        }
        if (!self->in_frame) {
            int found = read_header(self);
            if (found < 0) {
                goto failed;
            }
            if (found == 0) {
                break;
            }
        }
        size_t available = self->end - self->start;
        byte *data = buffer_at(self, self->start);
        int is_complete = available >= self->length;
        if (is_complete && (self->first & 0x0F) > CLOSE && PyList_Size(messages) > 0) {
            self->state |= PENDING;  /* the control frames of a call came before its messages */
            break;
        }
        size_t arrived = is_complete ? (size_t)self->length : available;
        if (prepare_payload(self, data, arrived) < 0) {
            goto failed;
        }
        if (!is_complete || self->violation != NULL) {
            break;
        }
        self->in_frame = 0;
        self->start += arrived;
        taken++;
        if (self->first & 0x08) {
            if (take_control(self, data, arrived) < 0) {
                goto failed;
            }
        }
        else {
            if (take_data(self, messages, data, arrived, &inflated) < 0) {
                goto failed;
            }
            if (self->first & FIN) {
                memset(&self->utf8, 0, sizeof self->utf8);
            }
        }
    }
    if (is_over(self)) {
        self->start = self->end = 0;
        self->in_frame = 0;
        forget_message(self);
    }
    self->is_parsing = 0;
    return messages;
failed:
    self->is_parsing = 0;
    Py_DECREF(messages);
    return NULL;
}

/* Make room for at least `wanted` bytes behind `end`. */
static int
make_room(Reader *self, size_t wanted)
{
    if (self->start == self->end) {
        self->start = self->end = 0;
    }
    if (self->capacity - self->end >= wanted) {
        return 0;
    }
    if (self->start > 0) {
        memmove(self->buffer, self->buffer + self->start, self->end - self->start);
        self->end -= self->start;
        self->start = 0;
        if (self->capacity - self->end >= wanted) {
            return 0;
        }
    }
    if (self->exports > 0) {
        PyErr_SetString(PyExc_BufferError, "a memoryview of this reader's buffer is still in use");
        return -1;
    }
    size_t needed = self->end + wanted;
    size_t doubled = self->capacity * 2;
    size_t capacity = needed > USUAL && doubled > needed ? doubled : needed;
    byte *grown = PyMem_Realloc(self->buffer, capacity);
    if (grown == NULL) {
        PyErr_NoMemory();
        return -1;
    }
    self->buffer = grown;
    self->capacity = capacity;
    return 0;
}

/* Let the next read find room: little at first, more once reads fill it, and the rest of a large frame. */
static int
prepare_read(Reader *self)
{
    if (is_busy(self)) {
        return -1;
    }
    if (self->start == self->end && self->capacity > USUAL && self->exports == 0) {
        PyMem_Free(self->buffer); /* it grew for a large frame */
        self->buffer = NULL;
        self->capacity = self->start = self->end = 0;
        self->was_filled = 1;
    }
    size_t wanted = SMALLEST;
    size_t unparsed = self->end - self->start;
    if (self->was_filled) {
        wanted = self->capacity * 4 < USUAL ? self->capacity * 4 : USUAL;
        wanted = wanted > unparsed + SMALLEST ? wanted - unparsed : SMALLEST;
    }
    uint64_t missing = self->in_frame && self->length > unparsed ? self->length - unparsed : 0;
    size_t limit = missing > USUAL ? LARGE_READ : USUAL;
    if (missing > wanted) {
        wanted = missing < limit ? (size_t)missing : limit;
    }
    if (make_room(self, wanted) < 0) {
        return -1;
    }
    size_t room = self->capacity - self->end;
    self->offered = room < limit ? room : limit;
    return 0;
}

static PyObject *
reader_get_buffer(Reader *self, PyObject *Py_UNUSED(arguments))
{
    int failed;
    LOCKED(self);
    failed = prepare_read(self);
    UNLOCKED();
    return failed < 0 ? NULL : PyMemoryView_FromObject((PyObject *)self);
}

static PyObject *
reader_received(Reader *self, PyObject *number)
{
    Py_ssize_t count = PyLong_AsSsize_t(number);
    if (count == -1 && PyErr_Occurred()) {
        return NULL;
    }
    PyObject *messages = NULL;
    LOCKED(self);
    if (is_busy(self)) {
        ;
    }
    else if (count < 0 || (size_t)count > self->offered) {
        PyErr_Format(PyExc_ValueError, "received(%zd), but get_buffer() has offered %zu bytes", count, self->offered);
    }
    else {
        self->was_filled = (size_t)count == self->offered;
        self->offered = 0;
        if (!is_over(self)) {
            self->end += (size_t)count;
        }
        messages = parse(self);
    }
    UNLOCKED();
    return messages;
}

static PyObject *
reader_feed(Reader *self, PyObject *data)
{
    Py_buffer view;
    if (PyObject_GetBuffer(data, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *messages = NULL;
    LOCKED(self);
    if (!is_busy(self)) {
        self->offered = 0;
        if (is_over(self) || view.len == 0) {
            messages = parse(self);
        }
        else if (make_room(self, (size_t)view.len) == 0) {
            memcpy(self->buffer + self->end, view.buf, (size_t)view.len);
            self->end += (size_t)view.len;
            messages = parse(self);
        }
    }
    UNLOCKED();
    PyBuffer_Release(&view);
    return messages;
}

static PyObject *
reader_more(Reader *self, PyObject *Py_UNUSED(none))
{
    PyObject *messages = NULL;
    LOCKED(self);
    if (!is_busy(self)) {
        self->offered = 0;
        messages = parse(self);
    }
    UNLOCKED();
    return messages;
}

static PyObject *
reader_take_controls(Reader *self, PyObject *Py_UNUSED(none))
{
    PyObject *fresh = PyList_New(0);
    if (fresh == NULL) {
        return NULL;
    }
    PyObject *controls;
    LOCKED(self);
    controls = self->controls;
    self->controls = fresh;
    self->state &= ~CONTROLS;
    UNLOCKED();
    return controls;
}

static PyObject *
or_none(PyObject *object)
{
    if (object == NULL) {
        object = Py_None;
    }
    Py_INCREF(object);
    return object;
}

static PyObject *
reader_get_state(Reader *self, void *Py_UNUSED(closure))
{
    return PyLong_FromLong(self->state);
}

static PyObject *
reader_get_close(Reader *self, void *Py_UNUSED(closure))
{
    return or_none(self->close);
}

static PyObject *
reader_get_violation(Reader *self, void *Py_UNUSED(closure))
{
    return or_none(self->violation);
}

static int
reader_getbuffer(Reader *self, Py_buffer *view, int flags)
{
    int failed;
    LOCKED(self);
    failed = PyBuffer_FillInfo(view, (PyObject *)self, buffer_at(self, self->end), (Py_ssize_t)self->offered, 0, flags);
    if (failed == 0) {
        self->exports++;
    }
    UNLOCKED();
    return failed;
}

static void
reader_releasebuffer(Reader *self, Py_buffer *Py_UNUSED(view))
{
    LOCKED(self);
    self->exports--;
    UNLOCKED();
}

static PyObject *
reader_new(PyTypeObject *type, PyObject *arguments, PyObject *keywords)
{
    static char *names[] = {"masked", "max_size", "inflate", NULL};
    PyObject *masked = NULL, *max_size = Py_None, *inflate = Py_None;
    if (!PyArg_ParseTupleAndKeywords(arguments, keywords, "|$OOO:FrameReader", names, &masked, &max_size, &inflate)) {
        return NULL;
    }
    int must_mask = masked == NULL ? -1 : PyObject_IsTrue(masked);
    if (must_mask < 0) {
        if (masked == NULL) {
            PyErr_SetString(PyExc_TypeError, "FrameReader() needs masked=");
        }
        return NULL;
    }
    int64_t limit = -1;
    if (max_size != Py_None) {
        limit = PyLong_AsLongLong(max_size);
        if (limit == -1 && PyErr_Occurred()) {
            return NULL;
        }
        if (limit < 0) {
            PyErr_SetString(PyExc_ValueError, "max_size is negative");
            return NULL;
        }
    }
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    Reader *self = (Reader *)allocate(type, 0); /* zeroed */
    if (self == NULL) {
        return NULL;
    }
    self->masked = (byte)must_mask;
    self->max_size = limit;
    if (inflate != Py_None) {
        Py_INCREF(inflate);
        self->inflate = inflate;
    }
    self->controls = PyList_New(0);
    if (self->controls == NULL) {
        Py_DECREF(self);
        return NULL;
    }
    return (PyObject *)self;
}

static int
reader_traverse(Reader *self, visitproc visit, void *arg)
{
    Py_VISIT((PyObject *)Py_TYPE((PyObject *)self));
    Py_VISIT(self->inflate);
    Py_VISIT(self->controls);
    return 0;
}

static int
reader_clear(Reader *self)
{
    Py_CLEAR(self->inflate);
    return 0;
}

static void
reader_dealloc(Reader *self)
{
    PyTypeObject *type = Py_TYPE((PyObject *)self);
    PyObject_GC_UnTrack(self);
    Py_CLEAR(self->inflate);
    Py_CLEAR(self->controls);
    Py_CLEAR(self->close);
    Py_CLEAR(self->violation);
    PyMem_Free(self->buffer);
    PyMem_Free(self->message);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *
reader_repr(Reader *self)
{
    return PyUnicode_FromFormat("<FrameReader c unparsed=%zu%s%s>", self->end - self->start, self->close ? " closed" : "",
                                self->violation ? " violated" : "");
}

static PyMethodDef reader_methods[] = {
    {"get_buffer", (PyCFunction)reader_get_buffer, METH_VARARGS, "Return the free space for the next read."},
    {"received", (PyCFunction)reader_received, METH_O, "Take bytes that were written to the buffer; return whole messages."},
    {"feed", (PyCFunction)reader_feed, METH_O, "Take these bytes; return whole messages."},
    {"more", (PyCFunction)reader_more, METH_NOARGS, "Return the next messages of those that are waiting."},
    {"take_controls", (PyCFunction)reader_take_controls, METH_NOARGS, "Return the PINGs and PONGs since the last call: they came before the messages returned with them."},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef reader_getset[] = {
    {"state", (getter)reader_get_state, NULL, "Flags PENDING, CONTROLS, CLOSED, VIOLATED.", NULL},
    {"close", (getter)reader_get_close, NULL, "Code and reason of the peer's CLOSE, or None.", NULL},
    {"violation", (getter)reader_get_violation, NULL, "Close code and text of the peer's violation, or None.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot reader_slots[] = {
    {Py_tp_doc, "Parses the frames of one connection into whole messages."},
    {Py_tp_new, reader_new},
    {Py_tp_dealloc, reader_dealloc},
    {Py_tp_traverse, reader_traverse},
    {Py_tp_clear, reader_clear},
    {Py_tp_repr, reader_repr},
    {Py_tp_methods, reader_methods},
    {Py_tp_getset, reader_getset},
    {Py_bf_getbuffer, reader_getbuffer},
    {Py_bf_releasebuffer, reader_releasebuffer},
    {0, NULL},
};

static PyType_Spec reader_spec = {
    .name = "onesocket.wire._native.FrameReader",
    .basicsize = sizeof(Reader),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = reader_slots,
};

/* --------------------------------------------------------------------------------------------------------------- writer */

typedef struct {
    PyObject *urandom; /* os.urandom */
    byte pool[POOL];
    size_t left; /* bytes of the pool that are not used yet */
} ModuleState;

static ModuleState *
state_of(PyObject *module)
{
    return (ModuleState *)PyModule_GetState(module);
}

/* Take four random bytes; they are fetched by the thousand, since each call of the system costs more than a frame. */
static int
next_mask(PyObject *module, byte *mask)
{
    ModuleState *state = state_of(module);
    int result = 0;
    LOCKED(module);
    if (state->left < 4) {
        PyObject *random = PyObject_CallFunction(state->urandom, "i", POOL);
        char *data;
        Py_ssize_t size;
        if (random == NULL || PyBytes_AsStringAndSize(random, &data, &size) < 0 || size != POOL) {
            result = -1;
        }
        else {
            memcpy(state->pool, data, POOL);
            state->left = POOL;
        }
        Py_XDECREF(random);
    }
    if (result == 0) {
        memcpy(mask, state->pool + POOL - state->left, 4);
        state->left -= 4;
    }
    UNLOCKED();
    if (result < 0 && !PyErr_Occurred()) {
        PyErr_SetString(PyExc_RuntimeError, "os.urandom() returned too few bytes");
    }
    return result;
}

static PyObject *
build_frame(PyObject *module, byte first, const char *payload, Py_ssize_t length, int is_masked)
{
    size_t size = (size_t)length;
    size_t header = (size < 126 ? 2 : size < 65536 ? 4 : 10) + (is_masked ? 4 : 0);
    if (size > (size_t)PY_SSIZE_T_MAX - header) {
        return PyErr_NoMemory();
    }
    PyObject *frame = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)(header + size));
    if (frame == NULL) {
        return NULL;
    }
    byte *data = (byte *)PyBytes_AsString(frame);
    byte bit = is_masked ? MASKED : 0;
    *data++ = first;
    if (size < 126) {
        *data++ = (byte)(bit | size);
    }
    else {
        int bytes = size < 65536 ? 2 : 8;
        *data++ = bit | (bytes == 2 ? 126 : 127);
        for (int shift = (bytes - 1) * 8; shift >= 0; shift -= 8) {
            *data++ = (byte)((uint64_t)size >> shift);
        }
    }
    if (is_masked) {
        if (next_mask(module, data) < 0) {
            Py_DECREF(frame);
            return NULL;
        }
        apply_mask(data + 4, (const byte *)payload, size, data, 0);
    }
    else if (size > 0) {
        memcpy(data, payload, size);
    }
    return frame;
}

static PyObject *
encode_frame(PyObject *module, PyObject *const *arguments, Py_ssize_t count)
{
    if (count < 2 || count > 3) {
        PyErr_SetString(PyExc_TypeError, "encode_frame() takes first, payload and masked");
        return NULL;
    }
    long first = PyLong_AsLong(arguments[0]);
    if (first == -1 && PyErr_Occurred()) {
        return NULL;
    }
    if (first < 0 || first > 255) {
        PyErr_SetString(PyExc_ValueError, "first is no byte");
        return NULL;
    }
    int is_masked = count == 3 ? PyObject_IsTrue(arguments[2]) : 0;
    if (is_masked < 0) {
        return NULL;
    }
    PyObject *payload = arguments[1];
    if (PyUnicode_Check(payload)) {
        Py_ssize_t size;
        const char *text = PyUnicode_AsUTF8AndSize(payload, &size);
        return text == NULL ? NULL : build_frame(module, (byte)first, text, size, is_masked);
    }
    Py_buffer view;
    if (PyObject_GetBuffer(payload, &view, PyBUF_SIMPLE) < 0) {
        return NULL;
    }
    PyObject *frame = build_frame(module, (byte)first, view.buf, view.len, is_masked);
    PyBuffer_Release(&view);
    return frame;
}

static PyObject *
forget_masks(PyObject *module, PyObject *Py_UNUSED(none))
{
    state_of(module)->left = 0;
    Py_RETURN_NONE;
}

/* --------------------------------------------------------------------------------------------------------------- module */

static PyMethodDef module_methods[] = {
    {"encode_frame", (PyCFunction)(void (*)(void))encode_frame, METH_FASTCALL, "Return one frame."},
    {"forget_masks", forget_masks, METH_NOARGS, "Forget the random masks fetched so far: a forked child calls it."},
    {NULL, NULL, 0, NULL},
};

static int
module_exec(PyObject *module)
{
    ModuleState *state = state_of(module);
    PyObject *os = PyImport_ImportModule("os");
    if (os == NULL) {
        return -1;
    }
    state->urandom = PyObject_GetAttrString(os, "urandom");
    Py_DECREF(os);
    if (state->urandom == NULL) {
        return -1;
    }
    PyObject *type = PyType_FromModuleAndSpec(module, &reader_spec, NULL);
    if (type == NULL) {
        return -1;
    }
    int failed = PyModule_AddType(module, (PyTypeObject *)type);
    Py_DECREF(type);
    return failed;
}

static int
module_traverse(PyObject *module, visitproc visit, void *arg)
{
    ModuleState *state = state_of(module);
    Py_VISIT(state->urandom);
    return 0;
}

static int
module_clear(PyObject *module)
{
    Py_CLEAR(state_of(module)->urandom);
    return 0;
}

static PyModuleDef_Slot module_slots[] = {
    {Py_mod_exec, module_exec},
#ifdef Py_GIL_DISABLED
    {Py_mod_gil, Py_MOD_GIL_NOT_USED},
#endif
    {0, NULL},
};

static PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "onesocket.wire._native",
    .m_doc = "Frames of RFC 6455, in C.",
    .m_size = sizeof(ModuleState),
    .m_methods = module_methods,
    .m_slots = module_slots,
    .m_traverse = module_traverse,
    .m_clear = module_clear,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    return PyModuleDef_Init(&definition);
}
