/// <summary>Identifies and checks image files before they are decoded.</summary>
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

/// The name of a known format, from the first bytes.
let tryFind (bytes: byte[]) =
    signatures
    |> List.tryFind (fun (_, at, signature) ->
        bytes.Length >= at + signature.Length
        && ReadOnlySpan(bytes, at, signature.Length).SequenceEqual(ReadOnlySpan signature))
    |> Option.map (fun (name, _, _) -> name)

/// The maximum number of scans of a progressive JPEG. Each scan covers the whole image; encoders write about ten.
[<Literal>]
let MaxScans = 64

/// The scans of a JPEG, and the position of its end marker if it has one.
type Jpeg = { Scans: int; End: int option }

/// Follows the markers of a JPEG. Segments state their lengths. Inside a scan, a byte of 255 followed by 0 is data.
let jpeg (bytes: byte[]) =
    let isMarker at = bytes[at + 1] <> 0uy && bytes[at + 1] <> 0xFFuy

    let rec next at scans =
        let skipped =
            if at < bytes.Length then
                ReadOnlySpan(bytes, at, bytes.Length - at).IndexOf 0xFFuy
            else
                -1

        let at = at + skipped

        if skipped < 0 || at + 1 >= bytes.Length then
            { Scans = scans; End = None }
        elif not (isMarker at) then
            next (at + 1) scans
        else
            match bytes[at + 1] with
            | 0xD9uy -> { Scans = scans; End = Some at }
            // Restarts, the start of the image and TEM have no segment.
            | marker when (0xD0uy <= marker && marker <= 0xD8uy) || marker = 1uy -> next (at + 2) scans
            | _ when at + 3 >= bytes.Length -> { Scans = scans; End = None }
            | marker ->
                let afterSegment = at + 2 + 256 * int bytes[at + 2] + int bytes[at + 3]
                next afterSegment (if marker = 0xDAuy then scans + 1 else scans)

    next 0 0
