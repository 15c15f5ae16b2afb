/// <summary>What a file is, by its first bytes and not by its name.</summary>
module internal NormFree.Data.Content

open System
open System.IO
open NormFree.Archives.Tar
open NormFree.Formats

type Content =
    | Zip
    | Tar
    | Gzip
    /// A kind that is no archive to read: its name with an article, and the remedy.
    | Other of kind: string * remedy: string
    | Unknown

/// Bytes that suffice to identify a file.
[<Literal>]
let HeadBytes = 512

let private unpack kind command = Other($"compressed with {kind}, which is not supported", $"Unpack it with {command}")

let private export kind = Other(kind, "Export its images as PNG or JPEG files to train/<class>/ and test/<class>/")

/// Kinds by the bytes at an offset.
let private signatures =
    [ 0, "PK\003\004", Zip
      0, "PK\005\006", Zip
      0, "PK\007\008", Zip
      0, "\031\139", Gzip
      0, "BZh", unpack "bzip2" "'bunzip2 -c FILE > UNPACKED'"
      0, "\2537zXZ\000", unpack "xz" "'unxz -c FILE > UNPACKED'"
      0, "\040\181\047\253", unpack "Zstandard" "'unzstd -c FILE > UNPACKED'"
      0, "\004\034\077\024", unpack "LZ4" "'unlz4 -c FILE > UNPACKED'"
      0, "\031\157", unpack "compress" "'uncompress -c FILE > UNPACKED'"
      0, "7z\188\175\039\028", unpack "7-Zip" "'7z x'"
      0, "Rar!\026\007", unpack "RAR" "'unrar x'"
      0, "PAR1", Other("a Parquet file", "Open it with --dataset folder")
      0, "MATLAB", Other("a Matlab file", "Use the binary or the Python version of the data set")
      0, "\137HDF", export "an HDF5 file"
      0, "\147NUMPY", export "a NumPy array"
      0,
      "\000\000\008\003",
      Other("an IDX file", "Give the folder of the four IDX files, with --dataset mnist or another IDX set")
      0,
      "\000\000\008\001",
      Other("an IDX file", "Give the folder of the four IDX files, with --dataset mnist or another IDX set")
      0, "version https://git-lfs", Other("a Git LFS pointer", "Fetch the file that it stands for with 'git lfs pull'") ]
    |> List.map (fun (at, text, kind) -> at, Text.Encoding.Latin1.GetBytes text, kind)

let private startsWith (at, signature: byte[], _) (head: byte[]) =
    head.Length >= at + signature.Length
    && ReadOnlySpan(head, at, signature.Length).SequenceEqual(ReadOnlySpan signature)

let private isHtml (head: byte[]) =
    let text = Text.Encoding.Latin1.GetString(head).TrimStart([| ' '; '\t'; '\r'; '\n'; 'ï'; '»'; '¿' |])

    [ "<!doctype html"; "<html" ]
    |> List.exists (fun tag -> text.StartsWith(tag, StringComparison.OrdinalIgnoreCase))

/// A pickle of protocol 2 to 5.
let private isPickle (head: byte[]) = head.Length > 2 && head[0] = 0x80uy && head[1] >= 2uy && head[1] <= 5uy

/// The kind of a file that starts with these bytes.
let ofHead (head: byte[]) =
    match signatures |> List.tryFind (fun signature -> startsWith signature head) with
    | Some(_, _, kind) -> kind
    | None when TarScan.IsTar(ReadOnlySpan head) -> Tar
    | None when isHtml head ->
        Other("a web page", "Download the file again: the link led to a page instead of the file")
    | None when isPickle head -> Other("a Python pickle", "Give the folder or archive of the whole data set")
    | None -> Unknown

/// The first bytes of a stream, at most `HeadBytes`.
let head (stream: Stream) =
    let bytes = Array.zeroCreate<byte> HeadBytes
    Array.truncate (stream.ReadAtLeast(bytes.AsSpan(), HeadBytes, false)) bytes

/// The first bytes of a file.
let headOf (path: string) =
    PlainFile.RequireNoPipe(path, "Give a file")
    use stream = File.OpenRead path
    head stream

/// The first bytes in words, for files of no known kind.
let inWords (head: byte[]) =
    if head.Length = 0 then
        "it is empty"
    else
        let bytes = String.Join(' ', head |> Seq.truncate 8 |> Seq.map (fun value -> value.ToString "X2"))
        $"its first bytes, {bytes}, are those of no supported kind"
