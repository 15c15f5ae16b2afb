namespace NormFree.Data

open System
open System.IO

/// A stream that can only be read from its start to its end.
[<AbstractClass>]
type internal SequentialStream() =
    inherit Stream()

    abstract ReadNext: byte[] * int * int -> int

    override s.Read(buffer: byte[], offset: int, length: int) = s.ReadNext(buffer, offset, length)
    override _.CanRead = true
    override _.CanSeek = false
    override _.CanWrite = false
    override _.Flush() = ()
    override _.Length = raise (NotSupportedException())

    override _.Position
        with get () = raise (NotSupportedException())
        and set _ = raise (NotSupportedException())

    override _.Seek(_, _) = raise (NotSupportedException())
    override _.SetLength _ = raise (NotSupportedException())
    override _.Write(_: byte[], _: int, _: int) = raise (NotSupportedException())

/// A read-only stream that throws `exceeded` when more than `limit` bytes are read. It closes the inner stream.
[<Sealed>]
type internal LimitedStream(inner: Stream, limit: int64, exceeded: int64 -> exn) =
    inherit SequentialStream()
    let mutable total = 0L

    override _.ReadNext(buffer, offset, length) =
        let read = inner.Read(buffer, offset, length)
        total <- total + int64 read

        if total > limit then
            raise (exceeded total)

        read

    override _.Dispose(disposing: bool) =
        if disposing then
            inner.Dispose()

        base.Dispose(disposing)
