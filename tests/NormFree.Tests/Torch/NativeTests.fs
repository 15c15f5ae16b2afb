module NormFree.Tests.Torch.NativeTests

open System
open System.Buffers.Binary
open System.IO
open System.Runtime.InteropServices
open System.Security.Cryptography
open System.Text
open Expecto
open NormFree.Platform
open NormFree.Torch.Native
open TorchSharp

let private version = "GLIBCXX_3.4.32"

/// SHA-256 of runtimes/linux-x64/native/libLibTorchSharp.so in the package TorchSharp 0.107.0.
let private packagedDigest = "cf33b1b0bb6bbb9754a768fb5c5d04d9f498603be50e73f55621a0b40ee608b8"

let private packagedShim = Path.Combine(AppContext.BaseDirectory, "libLibTorchSharp.so")
let private shim = lazy File.ReadAllBytes packagedShim

let private weaken (elf: byte[]) (version: string) = ElfSymbolVersions.Weaken(elf.AsSpan(), version)

/// The System V hash that identifies a version requirement.
let private elfHash (name: string) =
    (0u, Encoding.ASCII.GetBytes name)
    ||> Array.fold (fun hash byte ->
        let sum = (hash <<< 4) + uint32 byte
        let high = sum &&& 0xF0000000u
        (sum ^^^ (high >>> 24)) &&& ~~~high)

let private differences (a: byte[]) (b: byte[]) =
    [ for i in 0 .. a.Length - 1 do
          if a[i] <> b[i] then
              i ]

/// Runs an edit that may throw BadImageFormatException and nothing else.
let private failsCleanly what (elf: byte[]) =
    try
        weaken elf version |> ignore
    with
    | :? BadImageFormatException -> ()
    | e -> failtest $"{what}: {e}"

/// The offsets of a file's header, section table and version requirements.
let private structure (elf: byte[]) =
    let sections = int (BinaryPrimitives.ReadInt64LittleEndian(ReadOnlySpan(elf, 0x28, 8)))
    let count = int (BinaryPrimitives.ReadUInt16LittleEndian(ReadOnlySpan(elf, 0x3C, 2)))
    let header = [| 0..63 |]
    let table = [| sections .. sections + 64 * count - 1 |]

    let requirements =
        [| for i in 0 .. count - 1 do
               let section = sections + 64 * i

               if BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan(elf, section + 4, 4)) = 0x6FFFFFFEu then
                   let start = int (BinaryPrimitives.ReadInt64LittleEndian(ReadOnlySpan(elf, section + 24, 8)))
                   let size = int (BinaryPrimitives.ReadInt64LittleEndian(ReadOnlySpan(elf, section + 32, 8)))
                   yield! [| start .. start + size - 1 |] |]

    [| header; table; requirements |]

let private editing =
    testList
        "ElfSymbolVersions"
        [ test "an edit changes one bit of the shim: the weak flag of its requirement" {
              let elf = Array.copy shim.Value
              Expect.equal (weaken elf version) 1 "requirements marked"

              match differences shim.Value elf with
              | [ place ] ->
                  Expect.equal (elf[place] ^^^ shim.Value[place]) 2uy "VER_FLG_WEAK"
                  let hash = BinaryPrimitives.ReadUInt32LittleEndian(ReadOnlySpan(elf, place - 4, 4))
                  Expect.equal hash (elfHash version) "the hash before the flag is the version's"
              | places -> failtest $"{places.Length} bytes changed"
          }

          test "a second edit changes nothing" {
              let elf = Array.copy shim.Value
              weaken elf version |> ignore
              let once = Array.copy elf
              Expect.equal (weaken elf version) 1 "requirements marked"
              Expect.isEmpty (differences once elf) "bytes changed"
          }

          test "a version that is not required changes nothing" {
              let elf = Array.copy shim.Value
              Expect.equal (weaken elf "GLIBCXX_9.9.99") 0 "requirements marked"
              Expect.isEmpty (differences shim.Value elf) "bytes changed"
          }

          for what, bytes in
              [ "nothing", [||]
                "text", Encoding.ASCII.GetBytes(String('x', 200))
                "a bare magic number", [| 0x7Fuy; byte 'E'; byte 'L'; byte 'F' |] ] do
              test $"{what} is rejected" {
                  Expect.throwsT<BadImageFormatException> (fun () -> weaken bytes version |> ignore) "not an ELF file"
              }

          for what, place in [ "32-bit", 4; "big-endian", 5 ] do
              test $"a {what} ELF file is rejected" {
                  let elf = Array.truncate 4096 shim.Value
                  elf[place] <- 3uy - elf[place]
                  Expect.throwsT<BadImageFormatException> (fun () -> weaken elf version |> ignore) what
              }

          test "a truncated shim is rejected" {
              let random = Random 1

              for _ in 1..50 do
                  let length = random.Next shim.Value.Length
                  let elf = Array.truncate length shim.Value
                  Expect.throwsT<BadImageFormatException> (fun () -> weaken elf version |> ignore) $"{length} bytes"
          }

          test "an edit of damaged bytes succeeds or throws BadImageFormatException, and terminates" {
              let random = Random 2
              let places = structure shim.Value
              let elf = Array.copy shim.Value
              Expect.all places (fun region -> region.Length > 0) "regions to damage"

              for round in 1..5000 do
                  for _ in 0 .. random.Next 4 do
                      let region = places[random.Next places.Length]
                      let start = random.Next region.Length

                      match random.Next 3 with
                      | 0 -> elf[region[start]] <- byte (random.Next 256)
                      | 1 -> elf[region[start]] <- 0uy
                      | _ ->
                          for i in start .. min (start + 7) (region.Length - 1) do
                              elf[region[i]] <- 0xFFuy

                  failsCleanly $"round {round}" elf

                  for region in places do
                      for place in region do
                          elf[place] <- shim.Value[place]
          } ]

/// XDG_CACHE_HOME, or .cache in the home folder.
let private userCache =
    match Environment.GetEnvironmentVariable "XDG_CACHE_HOME" with
    | null
    | "" -> Path.Combine(Environment.GetFolderPath Environment.SpecialFolder.UserProfile, ".cache")
    | folder -> folder

/// C++'s <c>Context&amp; at::globalContext()</c> and <c>bool Context::userEnabled…() const</c>.
type private GlobalContext = delegate of unit -> nativeint

type private UserEnabled = delegate of nativeint -> byte

let private isEnabled getter =
    TorchNative.Ensure()
    let library = NativeLibrary.Load "libtorch_cpu.so"
    let call name = Marshal.GetDelegateForFunctionPointer<_>(NativeLibrary.GetExport(library, name))
    let context: GlobalContext = call "_ZN2at13globalContextEv"
    let enabled: UserEnabled = call getter
    enabled.Invoke(context.Invoke()) <> 0uy

/// A convolution of ones with 24 planar channels, whose exact result is the number of taps within the map times 24.
let private convolved (dtype: torch.ScalarType) =
    use x = torch.ones ([| 2L; 24L; 6L; 5L |], dtype)
    use weight = torch.ones ([| 24L; 24L; 3L; 3L |], dtype)
    use y = torch.nn.functional.conv2d (x, weight, padding = [| 1L; 1L |])
    y.``to``(torch.float64).data<float>().ToArray()

let private loading =
    testList
        "TorchNative"
        [ test "the shim is loaded from the package or from the user's cache" {
              TorchNative.Ensure()

              match TorchNative.LoadedFrom with
              | null -> failtest "nothing was loaded"
              | path when path = packagedShim -> ()
              | path ->
                  let expected =
                      Path.Combine(userCache, "torchsharp-native", packagedDigest[..15], "libLibTorchSharp.so")

                  Expect.equal path expected "the copy's path contains the digest of the original"
                  let copy = File.ReadAllBytes path
                  let elf = Array.copy shim.Value
                  weaken elf version |> ignore
                  Expect.isEmpty (differences elf copy) "the copy is the packaged shim with a weak requirement"
          }

          test "the packaged shim has the published digest" {
              Expect.equal (Convert.ToHexStringLower(SHA256.HashData shim.Value)) packagedDigest "SHA-256"
          }

          // Otherwise libtorch warns on stderr of every processor that NNPACK does not know.
          test "NNPACK is disabled" {
              Expect.isFalse (isEnabled "_ZNK2at7Context17userEnabledNNPACKEv") "userEnabledNNPACK"
          }

          test "oneDNN is enabled where the processor reports its caches, and only there" {
              Expect.equal
                  (isEnabled "_ZNK2at7Context17userEnabledMkldnnEv")
                  (MachineFacts.ReportsCaches())
                  "userEnabledMkldnn"

              Expect.equal TorchNative.OneDnnIsReliable (MachineFacts.ReportsCaches()) "OneDnnIsReliable"
          }

          // oneDNN pads 24 channels to 32. The repetitions reuse memory that holds other values.
          test "convolutions of padded channels are exact" {
              TorchNative.Ensure()
              let expected = convolved torch.float64

              for round in 1..5 do
                  torch.tensor(Array.create (2 * 32 * 6 * 5) nanf).Dispose()
                  Expect.equal (convolved torch.float32) expected $"round {round}"
          }

          test "a second call does nothing" {
              let before = TorchNative.LoadedFrom
              TorchNative.Ensure "/no/such/folder"
              Expect.equal TorchNative.LoadedFrom before "LoadedFrom"
          } ]

let tests = testList "native" [ editing; loading ]
