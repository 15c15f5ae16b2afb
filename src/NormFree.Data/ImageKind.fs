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
      "TIFF", 0, "II+\000"
      "TIFF", 0, "MM\000+"
      "AVIF", 4, "ftypavif"
      "HEIF", 4, "ftyphei"
      "JPEG XL", 0, "\255\010"
      "JPEG XL", 0, "\000\000\000\012JXL "
      "JPEG 2000", 0, "\000\000\000\012jP  "
      "PNM", 0, "P1"
      "PNM", 0, "P2"
      "PNM", 0, "P3"
      "PNM", 0, "P4"
      "PNM", 0, "P5"
      "PNM", 0, "P6"
      "icon", 0, "\000\000\001\000"
      "Photoshop", 0, "8BPS" ]
    |> List.map (fun (name, at, text) -> name, at, Text.Encoding.Latin1.GetBytes text)

/// The name of a known format, from the first bytes.
let tryFind (bytes: byte[]) =
    signatures
    |> List.tryFind (fun (_, at, signature) ->
        bytes.Length >= at + signature.Length
        && ReadOnlySpan(bytes, at, signature.Length).SequenceEqual(ReadOnlySpan signature))
    |> Option.map (fun (name, _, _) -> name)

/// Extensions of image files that are decoded.
let extensions =
    [ ".jpg"
      ".jpeg"
      ".jpe"
      ".jfif"
      ".png"
      ".webp"
      ".bmp"
      ".dib"
      ".gif"
      ".tif"
      ".tiff"
      ".ppm"
      ".pgm"
      ".pbm"
      ".pnm" ]

/// Extensions of image files that are not decoded, and are named when they are left out.
let unsupportedExtensions =
    [ ".avif"; ".heic"; ".heif"; ".jxl"; ".jp2"; ".j2k"; ".tga"; ".psd"; ".svg"; ".ico"; ".dcm" ]

let private hasExtension known (path: string) =
    known |> List.exists (fun suffix -> path.EndsWith(suffix, StringComparison.OrdinalIgnoreCase))

/// Whether a file's name is that of an image that is decoded.
let isSupported path = hasExtension extensions path

/// Whether a file's name is that of an image that is not decoded.
let isUnsupported path = hasExtension unsupportedExtensions path
