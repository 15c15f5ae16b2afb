/// What the tests of NormFree.Data share: folders that vanish, files made by hand, and the invariants of every source.
module NormFree.Tests.Data.Support

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open System.Text
open System.Threading
open Expecto
open NormFree.Data

/// A folder of its own that is deleted at the end of the test.
type TempFolder() =
    let path = Directory.CreateTempSubdirectory("normfree-tests-").FullName
    member _.Path = path
    member _.File name = Path.Combine(path, name)

    /// Writes a file, with its folders.
    member this.Write(name: string, bytes: byte[]) =
        let file = this.File name
        Path.GetDirectoryName file |> Option.ofObj |> Option.iter (Directory.CreateDirectory >> ignore)
        File.WriteAllBytes(file, bytes)
        file

    interface IDisposable with
        member _.Dispose() = Directory.Delete(path, true)

let private root =
    let rec up (folder: DirectoryInfo | null) =
        match folder with
        | null -> AppContext.BaseDirectory
        | folder when File.Exists(Path.Combine(folder.FullName, "Hybrid.sln")) -> folder.FullName
        | folder -> up folder.Parent

    up (DirectoryInfo AppContext.BaseDirectory)

/// A file of real images beside the repository, or a skipped test.
let shared name =
    let folder =
        match Environment.GetEnvironmentVariable "NORMFREE_SHARED" with
        | NonNull folder when folder <> "" -> folder
        | _ -> Path.Combine(root, "..", "shared")

    let path = Path.GetFullPath(Path.Combine(folder, "data", name))

    if not (Path.Exists path) then
        skiptest $"{name} is not in the folder 'shared/data' beside the repository"

    path

/// The value, or a failed test that shows the errors.
let ok result =
    match result with
    | Ok value -> value
    | Error error -> failtest $"{error}"

/// The errors as one text, or a failed test.
let errors (result: Result<'a, DataError list>) =
    match result with
    | Ok _ -> failtest "expected an error"
    | Error errors -> errors |> List.map string |> String.concat "\n"

/// The one error as text, or a failed test.
let error result =
    match result with
    | Ok _ -> failtest "expected an error"
    | Error error -> $"{error}"

let contains (parts: string list) text =
    for part in parts do
        Expect.stringContains text part $"the message should say '{part}'"

/// An image of noise.
let noise (random: RandomStream) width height =
    { Width = width
      Height = height
      Pixels = Array.init (3 * width * height) (fun _ -> byte (random.Bits())) }

/// n images of noise with labels 0, 1, … classes − 1, 0, …
let noiseSource classes side n =
    Array.init n (fun i -> noise (RandomStream.OfKeys(int64 i)) side side, i % classes)
    |> ImageSource.ofImages "noise"

/// Loads every image: each has as many bytes as its sides say, each label is a class.
let checkSource classes (source: ImageSource) =
    for i in 0 .. source.Count - 1 do
        let image = ok (source.Load i)
        Expect.equal image.Pixels.Length (3 * image.Width * image.Height) "three bytes a pixel"
        Expect.isTrue (source.Label i >= 0 && source.Label i < classes) "labels are classes"

/// The source, and the threads that have loaded from it.
let watched (source: ImageSource) =
    let threads = Collections.Concurrent.ConcurrentDictionary<Thread, bool>()

    let load i =
        threads[Thread.CurrentThread] <- true
        source.Load i

    { source with Load = load }, threads

/// None of these threads but the caller's runs any more, and there were some.
let expectEnded (threads: Collections.Concurrent.ConcurrentDictionary<Thread, bool>) =
    let others = threads.Keys |> Seq.filter ((<>) Thread.CurrentThread) |> List.ofSeq
    Expect.isNonEmpty others "there were workers"

    for thread in others do
        Expect.isFalse thread.IsAlive $"{thread.Name} has ended"

/// Any exception that says that reading was cancelled.
let expectCancelled run =
    let thrown = Expect.throwsC run id
    Expect.isTrue (thrown :? OperationCanceledException) $"cancelled, not {thrown}"

/// n bytes that a seed gives.
let randomBytes seed n =
    let random = RandomStream.OfKeys(int64 seed)
    Array.init n (fun _ -> byte (random.Bits()))

/// A copy with one byte changed, or cut short: what happens to files.
let mutate (seed: int) (bytes: byte[]) =
    let random = RandomStream.OfKeys(int64 seed, 77L)

    if random.Below 3 = 0 then
        Array.truncate (random.Below bytes.Length) bytes
    else
        let copy = Array.copy bytes

        for _ in 0 .. random.Below 4 do
            // Heads hold what a parser believes, so they are hit more often than by chance.
            let place =
                if random.Below 2 = 0 then
                    random.Below(min 600 copy.Length)
                else
                    random.Below copy.Length

            copy[place] <- byte (random.Bits())

        copy

let private crc (bytes: byte[]) =
    let mutable sum = 0xFFFFFFFFu

    for value in bytes do
        sum <- sum ^^^ uint32 value

        for _ in 1..8 do
            sum <- if sum &&& 1u = 1u then 0xEDB88320u ^^^ (sum >>> 1) else sum >>> 1

    ~~~sum

let private bigEndian (value: int) =
    let bytes = Array.zeroCreate<byte> 4
    BinaryPrimitives.WriteInt32BigEndian(bytes, value)
    bytes

/// A PNG by hand, for what no encoder at hand writes. Colour types: 0 grey, 2 RGB, 6 RGBA; `row y` gives a row's bytes.
let pngOf width height depth colourType (row: int -> byte[]) =
    let chunk (name: string) (data: byte[]) =
        let body = Array.append (Encoding.ASCII.GetBytes name) data
        Array.concat [ bigEndian data.Length; body; bigEndian (int (crc body)) ]

    let header =
        Array.concat [ bigEndian width; bigEndian height; [| byte depth; byte colourType; 0uy; 0uy; 0uy |] ]

    use packed = new MemoryStream()

    using (new ZLibStream(packed, CompressionLevel.Fastest)) (fun stream ->
        for y in 0 .. height - 1 do
            stream.Write(ReadOnlySpan(Array.append [| 0uy |] (row y))))

    Array.concat
        [ [| 0x89uy; 0x50uy; 0x4Euy; 0x47uy; 13uy; 10uy; 26uy; 10uy |]
          chunk "IHDR" header
          chunk "IDAT" (packed.ToArray())
          chunk "IEND" [||] ]

/// An image as a PNG of 8-bit RGB.
let png (image: Image) =
    pngOf image.Width image.Height 8 2 (fun y -> Array.sub image.Pixels (y * 3 * image.Width) (3 * image.Width))

/// An image as a JPEG of this quality.
let jpeg quality (image: Image) =
    use bitmap =
        new SkiaSharp.SKBitmap(image.Width, image.Height, SkiaSharp.SKColorType.Rgba8888, SkiaSharp.SKAlphaType.Opaque)

    for y in 0 .. image.Height - 1 do
        for x in 0 .. image.Width - 1 do
            let at = 3 * (y * image.Width + x)
            bitmap.SetPixel(x, y, SkiaSharp.SKColor(image.Pixels[at], image.Pixels[at + 1], image.Pixels[at + 2]))

    use data = bitmap.Encode(SkiaSharp.SKEncodedImageFormat.Jpeg, quality)
    data.ToArray()

/// A zip of (name, bytes).
let zip (file: string) (entries: (string * byte[]) list) =
    use archive = ZipFile.Open(file, ZipArchiveMode.Create)

    for name, bytes in entries do
        use stream = archive.CreateEntry(name).Open()
        stream.Write(ReadOnlySpan bytes)

/// A tar of (name, bytes); names that end in a slash are folders.
let tar (entries: (string * byte[]) list) =
    use target = new MemoryStream()

    using (new Formats.Tar.TarWriter(target, Formats.Tar.TarEntryFormat.Ustar, true)) (fun writer ->
        for name, bytes in entries do
            let kind =
                if name.EndsWith '/' then
                    Formats.Tar.TarEntryType.Directory
                else
                    Formats.Tar.TarEntryType.RegularFile

            let entry = Formats.Tar.UstarTarEntry(kind, name)

            if bytes.Length > 0 then
                entry.DataStream <- new MemoryStream(bytes)

            writer.WriteEntry entry)

    target.ToArray()

/// A block before a part of a tar by hand, for what no writer writes.
let tarHeader (name: string) (size: int64) (kind: char) =
    let block = Array.zeroCreate<byte> 512
    let put (at: int) (text: string) = Encoding.UTF8.GetBytes(text).CopyTo(block, at)
    put 0 name
    put 100 "0000644"
    put 124 (Convert.ToString(size, 8).PadLeft(11, '0'))
    put 148 "        "
    block[156] <- byte kind
    put 257 "ustar\00000"
    let sum = block |> Array.sumBy int
    put 148 (Convert.ToString(sum, 8).PadLeft(6, '0') + "\000")
    block

/// The two blocks of zeros that end a tar.
let tarEnd: byte[] = Array.zeroCreate 1024

let gzip (bytes: byte[]) =
    use target = new MemoryStream()
    using (new GZipStream(target, CompressionLevel.Fastest)) (fun stream -> stream.Write(ReadOnlySpan bytes))
    target.ToArray()

/// Threads of the caller's that all begin at once.
let together count (body: int -> unit) =
    let failures: exn list[] = Array.create count []

    let threads =
        [ for i in 0 .. count - 1 ->
              let run () =
                  try
                      body i
                  with error ->
                      failures[i] <- [ error ]

              let thread = Thread run
              thread.Start()
              thread ]

    for thread in threads do
        thread.Join()

    for failure in List.concat failures do
        failtest $"{failure}"
