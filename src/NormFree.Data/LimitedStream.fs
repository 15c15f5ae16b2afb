namespace NormFree.Data

open System
open System.IO

/// A read-only stream that throws `exceeded` when more than `limit` bytes are read.
[<Sealed>]
type internal LimitedStream(inner: Stream, limit: int64, exceeded: int64 -> exn) =
    inherit Stream()
    let mutable total = 0L

    let count read =
        total <- total + int64 (read: int)

        if total > limit then
            raise (exceeded total)

        read

    override _.Read(buffer: Span<byte>) = count (inner.Read buffer)
    override _.Read(buffer: byte[], offset: int, length: int) = count (inner.Read(buffer, offset, length))
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
