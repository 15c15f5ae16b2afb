/// What a machine may lack. Each condition is checked here, independently of the test that skips because of it.
module NormFree.Tests.Suite.Condition

open System
open System.IO
open System.Runtime.InteropServices
open System.Runtime.Intrinsics.X86
open NormFree.Tests

[<DllImport("libc", EntryPoint = "geteuid")>]
extern uint32 private effectiveUser()

let private variable name = Environment.GetEnvironmentVariable name |> Option.ofObj |> Option.defaultValue ""

let private repositoryFile (path: string) = Path.GetFullPath(Path.Combine(repository, path))

/// NORMFREE_SHARED replaces the folder beside the repository.
let private sharedFile path =
    let folder =
        match variable "NORMFREE_SHARED" with
        | "" -> repositoryFile "../shared"
        | folder -> folder

    Path.Combine(folder, path)

let private isOnPath program =
    (variable "PATH").Split ':'
    |> Array.exists (fun folder -> File.Exists(Path.Combine(folder, program)))

/// Linux's numbers of capabilities (capabilities(7)).
let private capabilities = Map [ "linux_immutable", 9; "sys_admin", 21 ]

let private hasCapability name =
    let effective = File.ReadLines "/proc/self/status" |> Seq.find _.StartsWith("CapEff:")
    let bits = Convert.ToUInt64(effective.Substring("CapEff:".Length).Trim(), 16)
    bits >>> capabilities[name] &&& 1UL = 1UL

let private isAddress (text: string) = fst (Uri.TryCreate(text, UriKind.Absolute))

let private hasAvx512 = Avx512F.VL.IsSupported && Avx512BW.IsSupported && Avx512DQ.IsSupported

/// <summary>Whether a condition of the list of approved skips holds on this machine.</summary>
/// <exception cref="T:System.FormatException">The condition is unknown.</exception>
let holds (condition: string) =
    match condition.Split(' ', 3) with
    | [| "root" |] -> effectiveUser () = 0u
    | [| "no"; "AVX2" |] -> not (Avx2.IsSupported && Fma.IsSupported)
    | [| "no"; "AVX-512" |] -> not hasAvx512
    | [| "no"; "Arm"; "processor" |] -> RuntimeInformation.ProcessArchitecture <> Architecture.Arm64
    | [| "no"; "file"; path |] -> not (Path.Exists(repositoryFile path))
    | [| "no"; "shared"; path |] -> not (Path.Exists(sharedFile path))
    | [| "no"; "program"; name |] -> not (isOnPath name)
    | [| "no"; "address"; name |] -> not (isAddress (variable name))
    | [| "no"; "capability"; name |] when capabilities.ContainsKey name -> not (hasCapability name)
    | _ -> raise (FormatException $"unknown condition '{condition}'")
