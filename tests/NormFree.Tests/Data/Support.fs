/// Shared by the tests: temporary folders, hand-made files, and the invariants of image sources.
module NormFree.Tests.Data.Support

open System
open System.Buffers.Binary
open System.IO
open System.IO.Compression
open System.Text
open System.Threading
open Expecto
open NormFree.Data
open NormFree.Tests

/// A temporary folder, deleted at the end of the test.
type TempFolder() =
    let path = Directory.CreateTempSubdirectory("normfree-tests-").FullName
    member _.Path = path
    member _.File name = Path.Combine(path, name)

    /// Writes a file and creates its folders.
    member this.Write(name: string, bytes: byte[]) =
        let file = this.File name
        Path.GetDirectoryName file |> Option.ofObj |> Option.iter (Directory.CreateDirectory >> ignore)
        File.WriteAllBytes(file, bytes)
        file

    interface IDisposable with
        member _.Dispose() = Directory.Delete(path, true)

/// A file of real images in the folder 'shared' next to the repository. Skips the test if it is missing.
let shared name =
    let folder =
        match Environment.GetEnvironmentVariable "NORMFREE_SHARED" with
        | NonNull folder when folder <> "" -> folder
        | _ -> Path.Combine(repository, "..", "shared")

    let path = Path.GetFullPath(Path.Combine(folder, "data", name))

    if not (Path.Exists path) then
        skiptest $"{name} is not in the folder 'shared/data' next to the repository"

    path

/// The value. Fails the test on an error.
let ok result =
    match result with
    | Ok value -> value
    | Error error -> failtest $"{error}"

/// The errors as one text. Fails the test if there are none.
let errors (result: Result<'a, DataError list>) =
    match result with
    | Ok _ -> failtest "expected an error"
    | Error errors -> errors |> List.map string |> String.concat "\n"

/// The error as text. Fails the test if there is none.
let error result =
    match result with
    | Ok _ -> failtest "expected an error"
    | Error error -> $"{error}"

let contains (parts: string list) text =
    for part in parts do
        Expect.stringContains text part $"the message contains '{part}'"

/// An image of noise.
let noise (random: RandomStream) width height =
    { Width = width
      Height = height
      Pixels = Array.init (3 * width * height) (fun _ -> byte (random.Bits())) }

/// n images of noise with labels 0, 1, … classes − 1, 0, …
let noiseSource classes side n =
    Array.init n (fun i -> noise (RandomStream.OfKeys(int64 i)) side side, i % classes)
    |> ImageSource.ofImages "noise"

/// Loads every image and checks its size and its label.
let checkSource classes (source: ImageSource) =
    for i in 0 .. source.Count - 1 do
        let image = ok (source.Load i)
        Expect.equal image.Pixels.Length (3 * image.Width * image.Height) "three bytes per pixel"
        Expect.isTrue (source.Label i >= 0 && source.Label i < classes) "labels are classes"

/// The source, and the threads that loaded from it.
let watched (source: ImageSource) =
    let threads = Collections.Concurrent.ConcurrentDictionary<Thread, bool>()

    let load i =
        threads[Thread.CurrentThread] <- true
        source.Load i

    { source with Load = load }, threads

/// Expects that all of these threads except the caller have ended, and that there were some.
let expectEnded (threads: Collections.Concurrent.ConcurrentDictionary<Thread, bool>) =
    let others = threads.Keys |> Seq.filter ((<>) Thread.CurrentThread) |> List.ofSeq
    Expect.isNonEmpty others "there were workers"

    for thread in others do
        Expect.isFalse thread.IsAlive $"{thread.Name} has ended"

/// Expects an OperationCanceledException.
let expectCancelled run =
    let thrown = Expect.throwsC run id
    Expect.isTrue (thrown :? OperationCanceledException) $"cancelled, not {thrown}"

/// n random bytes of a seed.
let randomBytes seed n =
    let random = RandomStream.OfKeys(int64 seed)
    Array.init n (fun _ -> byte (random.Bits()))

/// A truncated copy, or one with changed bytes.
let mutate (seed: int) (bytes: byte[]) =
    let random = RandomStream.OfKeys(int64 seed, 77L)

    if random.Below 3 = 0 then
        Array.truncate (random.Below bytes.Length) bytes
    else
        let copy = Array.copy bytes

        for _ in 0 .. random.Below 4 do
            // Prefers headers, which parsers depend on.
            let index =
                if random.Below 2 = 0 then
                    random.Below(min 600 copy.Length)
                else
                    random.Below copy.Length

            copy[index] <- byte (random.Bits())

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

/// Writes a PNG of any depth and colour type (0 grey, 2 RGB, 6 RGBA). `row y` returns a row's bytes.
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

/// A tar of (name, bytes). Names that end in a slash are folders.
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

/// A tar header with any size and type.
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

/// Runs `body` on this many threads and fails the test if one of them throws.
let inParallel count (body: int -> unit) =
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
