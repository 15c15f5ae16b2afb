/// Memory between two pages that a kernel may not touch: the process ends with an access violation at the first byte outside.
module NormFree.Tests.Kernels.GuardPages

#nowarn "9" // Unmanaged memory.

open System
open System.ComponentModel
open System.Runtime.InteropServices
open Microsoft.FSharp.NativeInterop

module private Native =
    [<DllImport("libc", SetLastError = true)>]
    extern nativeint mmap(nativeint address, unativeint length, int protection, int flags, int file, nativeint offset)

    [<DllImport("libc", SetLastError = true)>]
    extern int mprotect(nativeint address, unativeint length, int protection)

    [<DllImport("libc", SetLastError = true)>]
    extern int munmap(nativeint address, unativeint length)

let private page = Environment.SystemPageSize

let private readAndWrite, private noAccess = 3, 0

/// MAP_PRIVATE and MAP_ANONYMOUS.
let private flags = 2 ||| (if OperatingSystem.IsMacOS() then 0x1000 else 0x20)

let private failed call = raise (Win32Exception(Marshal.GetLastPInvokeError(), $"{call} failed"))

/// At least that many bytes in whole pages, with a guard page before and after them. Windows has other functions for this; there are no guards there.
type GuardedPages(bytes: int) =
    let size = max page ((bytes + page - 1) / page * page)
    let all = unativeint (size + 2 * page)

    let allocation =
        if OperatingSystem.IsWindows() then
            NativeMemory.AlignedAlloc(all, unativeint page)
            |> NativePtr.ofVoidPtr<byte>
            |> NativePtr.toNativeInt
        else
            let address = Native.mmap (0n, all, readAndWrite, flags, -1, 0n)

            if address = -1n then
                failed "mmap"

            for guard in [ address; address + nativeint (page + size) ] do
                if Native.mprotect (guard, unativeint page, noAccess) <> 0 then
                    failed "mprotect"

            address

    /// The first byte after the lower guard page.
    member _.Start: nativeptr<byte> = allocation + nativeint page |> NativePtr.ofNativeInt

    /// Bytes between the guard pages.
    member _.Size = size

    interface IDisposable with
        member _.Dispose() =
            if OperatingSystem.IsWindows() then
                NativeMemory.AlignedFree(NativePtr.ofNativeInt<byte> allocation |> NativePtr.toVoidPtr)
            else
                Native.munmap (allocation, all) |> ignore
