namespace NormFree.Runs

open System
open System.Reflection

/// <summary>Versions of assemblies.</summary>
[<RequireQualifiedAccess>]
module BuildVersion =

    /// <summary>The informational version of the assembly that defines a type.</summary>
    let ofAssembly (marker: Type) =
        match marker.Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>() with
        | null -> "unknown"
        | attribute -> attribute.InformationalVersion

    /// <summary>NormFree's version, which ends with the commit that was built.</summary>
    let normFree = ofAssembly typeof<TrainingException>
