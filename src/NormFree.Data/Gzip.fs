namespace NormFree.Data

open System
open System.IO
open System.IO.Compression

/// A stream followed by 512 bytes that begin nothing. A reader that needs more has not found the end that the stream should have.
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
