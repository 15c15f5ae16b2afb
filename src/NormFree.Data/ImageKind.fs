/// <summary>What a file's first bytes say that it is, before any decoder sees it.</summary>
module internal NormFree.Data.ImageKind

open System

let private signatures =
    [ "JPEG", 0, "\255\216\255"
      "PNG", 0, "\137PNG\r\n\026\n"
      "GIF", 0, "GIF8"
      "WebP", 8, "WEBP"
      "BMP", 0, "BM"
      "TIFF", 0, "II*\000"
      "TIFF", 0, "MM\000*"
      "AVIF", 4, "ftypavif"
      "HEIF", 4, "ftyphei"
      "JPEG XL", 0, "\255\010" ]
    |> List.map (fun (name, at, text) -> name, at, Text.Encoding.Latin1.GetBytes text)

/// The name of the format, where it is known.
let tryFind (bytes: byte[]) =
    signatures
    |> List.tryFind (fun (_, at, signature) ->
        bytes.Length >= at + signature.Length
        && ReadOnlySpan(bytes, at, signature.Length).SequenceEqual(ReadOnlySpan signature))
    |> Option.map (fun (name, _, _) -> name)

/// A progressive JPEG is decoded scan by scan, each over the whole image. Encoders write about ten.
[<Literal>]
let MaxScans = 64

/// The number of scans of a JPEG up to its end: of segments that start one. Segments are led by their lengths; between them, in a scan, a byte of 255
/// that is followed by 0 is no marker.
let scans (bytes: byte[]) =
    let isMarker at = bytes[at] = 0xFFuy && bytes[at + 1] <> 0uy && bytes[at + 1] <> 0xFFuy

    let rec next at count =
        let skipped =
            if at < bytes.Length then
                ReadOnlySpan(bytes, at, bytes.Length - at).IndexOf 0xFFuy
            else
                -1

        let at = at + skipped

        if skipped < 0 || at + 3 >= bytes.Length then
            count
        elif not (isMarker at) then
            next (at + 1) count
        else
            let behind = at + 2 + 256 * int bytes[at + 2] + int bytes[at + 3]

            match bytes[at + 1] with
            | 0xD9uy -> count
            | 0xDAuy -> next behind (count + 1)
            // Restarts, the image's start and one that means nothing have no segment.
            | marker when (0xD0uy <= marker && marker <= 0xD8uy) || marker = 1uy -> next (at + 2) count
            | _ -> next behind count

    next 0 0
