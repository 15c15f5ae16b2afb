namespace NormFree.Data

open System
open System.IO
open System.IO.Compression

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

/// A stream followed by 512 bytes that begin nothing. Whoever reads beyond them has not found the end that the stream should have.
[<Sealed>]
type private FollowedStream(inner: Stream) =
    inherit SequentialStream()
    let mutable left = 512

    override _.ReadNext(buffer, offset, length) =
        match inner.Read(buffer, offset, length) with
        | 0 when left = 0 -> raise (InvalidDataException "the gzip is cut short")
        | 0 ->
            let count = min left length
            buffer.AsSpan(offset, count).Fill 0xFFuy
            left <- left - count
            count
        | read -> read

/// Decompresses gzips.
[<RequireQualifiedAccess>]
module internal Gzip =

    /// The content of a gzip. Reading its end verifies the checksum.
    /// .NET accepts a gzip that lacks its end: a part of the data, or of the checksum and the length. Here these are taken from bytes after the
    /// file, and do not match; after a whole gzip such bytes are ignored.
    let decompress (compressed: Stream) : Stream =
        let gzip = new GZipStream(new FollowedStream(compressed), CompressionMode.Decompress)
        // GZipStream's own CopyTo would read all of the bytes after the file.
        new LimitedStream(gzip, Int64.MaxValue, (fun _ -> InvalidDataException() :> exn))
